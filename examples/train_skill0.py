"""Train with SKILL0, on one process or many:

python examples/train_skill0.py --config curricula/household_cpu.yaml
torchrun --nproc_per_node 2 examples/train_skill0.py --config curricula/household_cpu.yaml
accelerate launch examples/train_skill0.py --config curricula/household_cpu.yaml
"""

import argparse

from skill0.training.recipe import load_recipe
from skill0.training.run import run_recipe


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--config", required=True, help="a recipe from curricula/")
    parser.add_argument("--games", help="official ALFWorld games instead of the recipe's")
    parser.add_argument("--output", help="another run folder")
    parser.add_argument("--max-steps", type=int, help="another number of optimizer steps")
    arguments = parser.parse_args()
    run_recipe(
        load_recipe(
            arguments.config,
            games=arguments.games,
            output_dir=arguments.output,
            max_steps=arguments.max_steps,
        )
    )


if __name__ == "__main__":
    main()
