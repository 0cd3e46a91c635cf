"""A recipe cut down to seconds: whether everything runs, not what comes of it."""

from __future__ import annotations

from dataclasses import replace

from skill0.training.recipe import Recipe

TRAINING = {
    "max_steps": 3,
    "per_device_train_batch_size": 4,
    "num_generations": 4,
    "steps_per_generation": 1,
    "gradient_accumulation_steps": 1,
    "curriculum_interval": 99,
    "max_turns": 2,
    "max_completion_length": 10,
    "logging_steps": 1,
    "save_steps": 99,
}


def quick(recipe: Recipe) -> Recipe:
    """The same run on a few short episodes; a policy that would be warmed up hardly is."""
    warmup = recipe.warmup
    if warmup is not None and recipe.policy.model == "tiny":
        demonstrations = replace(warmup.demonstrations, games=6, max_steps=25)
        learning = replace(warmup.learning, reading_steps=2, acting_steps=4, save_every=4)
        warmup = replace(warmup, demonstrations=demonstrations, learning=learning)
    return replace(
        recipe,
        environment=replace(recipe.environment, train_tasks=12, validation_tasks=6, heldout_tasks=6),
        warmup=warmup,
        training={**recipe.training, **TRAINING},
        evaluation=replace(recipe.evaluation, probe_every=99, batch_size=12),
    )
