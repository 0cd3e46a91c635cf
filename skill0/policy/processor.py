"""An image-and-text processor for Qwen2.5-VL that needs neither torchvision nor a video part.

transformers' own `Qwen2_5_VLProcessor` insists on a video processor, and that class exists only where
torchvision does. `ImageTextProcessor` is the same thing for text and images, with the PIL image processor
named explicitly so that an installed torchvision cannot change the pixels.

What it saves names no processor class: `AutoProcessor` then goes by the model's `config.json` and finds
`ImageTextProcessor` where skill0 is imported, and transformers' own class elsewhere (which needs torchvision,
and takes its video settings from the same folder). Naming an unknown class instead would make `AutoProcessor`
return a bare tokenizer without a word. The table of what loads where is in docs/policy.md.

Left out on purpose: videos.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

from transformers import (
    AutoProcessor,
    AutoTokenizer,
    ProcessorMixin,
    Qwen2_5_VLConfig,
    Qwen2VLImageProcessorPil,
)
from transformers.processing_utils import MultiModalData

from skill0.errors import PolicyError

IMAGE_TOKEN = "<|image_pad|>"
VIDEO_TOKEN = "<|video_pad|>"

PATCH, MERGE, TEMPORAL_PATCH = 14, 2, 2
"""Pixels a patch, patches a side of one visual token, frames a patch: those of every Qwen2.5-VL."""

MIN_PIXELS, MAX_PIXELS = 56 * 56, 16384 * 28 * 28
"""Images within these limits and with sides of multiples of 28 are not resampled; pages are such images."""


class ImageTextProcessor(ProcessorMixin):
    """Qwen2.5-VL's processor for text and images: `processor(text=..., images=...)`, `apply_chat_template`.

    Returns `input_ids`, `attention_mask`, `mm_token_type_ids` (1 on image placeholders) and, with images,
    `pixel_values` float32 (patches, 1176) and `image_grid_thw` int64 (images, 3). One placeholder in the
    text is expanded to as many as the image has visual tokens.

    Raises:
        PolicyError: the tokenizer does not know `<|image_pad|>`.
    """

    return_mm_token_type_ids = True

    def __init__(self, image_processor: Any = None, tokenizer: Any = None, chat_template: Any = None):
        self.image_token, self.video_token = IMAGE_TOKEN, VIDEO_TOKEN
        self.image_token_id = _token_id(tokenizer, IMAGE_TOKEN)
        self.video_token_id = _token_id(tokenizer, VIDEO_TOKEN)
        super().__init__(image_processor, tokenizer, chat_template=chat_template)

    @classmethod
    def _get_arguments_from_pretrained(cls, pretrained_model_name_or_path: Any, *args: Any, **kwargs: Any):
        """The two parts of a saved processor; the image part is the PIL one, whatever is installed."""
        images = Qwen2VLImageProcessorPil.from_pretrained(pretrained_model_name_or_path, **kwargs)
        tokenizer = AutoTokenizer.from_pretrained(pretrained_model_name_or_path, **kwargs)
        return [images, tokenizer]

    def replace_image_token(self, image_inputs: dict, image_idx: int, **kwargs: Any) -> str:
        patches = int(image_inputs["image_grid_thw"][image_idx].prod())
        return self.image_token * (patches // self.image_processor.merge_size**2)

    def _get_num_multimodal_tokens(self, image_sizes: Any = None, **kwargs: Any) -> MultiModalData:
        """Placeholders per image of (height, width), without the images; vLLM and `generate_batch` ask."""
        if image_sizes is None:
            return MultiModalData()
        patches = [self.image_processor.get_number_of_image_patches(*size, {}) for size in image_sizes]
        tokens = [count // self.image_processor.merge_size**2 for count in patches]
        return MultiModalData(num_image_tokens=tokens, num_image_patches=patches)

    def to_dict(self) -> dict[str, Any]:
        """What is written to processor_config.json; see the module docstring for what is not."""
        content = super().to_dict()
        del content["processor_class"]
        # For `Qwen2_5_VLProcessor`, which looks for its video part in the same file.
        content["video_processor"] = {"video_processor_type": "Qwen2VLVideoProcessor"}
        return content

    def save_pretrained(self, save_directory: Any, push_to_hub: bool = False, **kwargs: Any) -> list[str]:
        """Write tokenizer, chat template and processor_config.json; return the latter's path.

        Raises:
            PolicyError: `push_to_hub` is set; upload the saved folder instead.
        """
        if push_to_hub:
            raise PolicyError("ImageTextProcessor cannot push to the Hub; upload the folder it was saved to")
        folder = Path(save_directory)
        folder.mkdir(parents=True, exist_ok=True)
        self.tokenizer._set_processor_class(None)
        self.tokenizer.chat_template = self.chat_template
        self.tokenizer.save_pretrained(folder)
        config_file = str(folder / "processor_config.json")
        self.to_json_file(config_file)
        return [config_file]


def build_processor(tokenizer: Any, chat_template: str) -> ImageTextProcessor:
    """A processor around a tokenizer, with Qwen2.5-VL's image settings and the PIL image processor."""
    images = Qwen2VLImageProcessorPil(
        size={"shortest_edge": MIN_PIXELS, "longest_edge": MAX_PIXELS},
        patch_size=PATCH,
        merge_size=MERGE,
        temporal_patch_size=TEMPORAL_PATCH,
    )
    tokenizer.chat_template = chat_template
    return ImageTextProcessor(image_processor=images, tokenizer=tokenizer, chat_template=chat_template)


def register_processor() -> None:
    """Make `AutoProcessor` build `ImageTextProcessor` for Qwen2.5-VL models in this process."""
    AutoProcessor.register(Qwen2_5_VLConfig, ImageTextProcessor, exist_ok=True)


def _token_id(tokenizer: Any, token: str) -> int:
    token_id = tokenizer.get_vocab().get(token)
    if token_id is None:
        name = getattr(tokenizer, "name_or_path", "") or type(tokenizer).__name__
        raise PolicyError(
            f"the tokenizer ({name}) has no token {token}: it is not the tokenizer of a Qwen2.5-VL model, "
            "which images need"
        )
    return token_id


register_processor()
