"""The subcommands of `skill0`, one module each; thin functions over library calls."""
