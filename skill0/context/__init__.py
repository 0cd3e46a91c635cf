"""What the policy is shown: text laid out as a page that becomes an image, and the prompt beside it.

from skill0.context import ContextRenderer, PageStyle, Segment

page = ContextRenderer().page([Segment("observation", "You see a mug 1.")], PageStyle(cell="6x12"))
page.visual_tokens, page.image(), page.pixel_values()
"""

from skill0.context.assembly import PageReport
from skill0.context.atlas import CELLS
from skill0.context.canvas import Canvas
from skill0.context.fitting import Fitted
from skill0.context.page import Page, batch_pixel_values
from skill0.context.prompts import (
    ALFWORLD,
    HOUSEHOLD,
    OFFICIAL,
    PromptFields,
    PromptTemplate,
    fill,
    template_named,
)
from skill0.context.renderer import ContextRenderer
from skill0.context.roles import HISTORY_ROLES, ROLE_COLOURS, ROLES, Segment
from skill0.context.sheet import contact_sheet
from skill0.context.style import TOKEN_SIDE, PageStyle
from skill0.context.transcript import TURNS_FILE, RecordedTurn, read_transcript, read_turns

__all__ = [
    "ALFWORLD",
    "CELLS",
    "HISTORY_ROLES",
    "HOUSEHOLD",
    "OFFICIAL",
    "ROLES",
    "ROLE_COLOURS",
    "TOKEN_SIDE",
    "TURNS_FILE",
    "Canvas",
    "ContextRenderer",
    "Fitted",
    "Page",
    "PageReport",
    "PageStyle",
    "PromptFields",
    "PromptTemplate",
    "RecordedTurn",
    "Segment",
    "batch_pixel_values",
    "contact_sheet",
    "fill",
    "read_transcript",
    "read_turns",
    "template_named",
]
