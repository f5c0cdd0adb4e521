"""Read, set and verify learning rates on optimizers, whatever their param groups and schedulers."""

from lrfind.optim.apply import apply_rate
from lrfind.optim.peaks import Rates, rates_of
from lrfind.optim.rates import CLOSE, Group, Optimizers, as_list, differing, groups_of, held_by, read_rate, set_rate
from lrfind.optim.reply import reply_of
from lrfind.optim.schedulers import drives, driving, is_scheduler, once, unwrapped
from lrfind.optim.shapes import Scheduled, to_schedule
from lrfind.optim.stepping import Stepping
from lrfind.optim.watch import AppliedRate, handling_groups, living_schedulers

__all__ = [
    "CLOSE",
    "AppliedRate",
    "Group",
    "Optimizers",
    "Rates",
    "Scheduled",
    "Stepping",
    "apply_rate",
    "as_list",
    "differing",
    "drives",
    "driving",
    "groups_of",
    "handling_groups",
    "held_by",
    "is_scheduler",
    "living_schedulers",
    "once",
    "rates_of",
    "read_rate",
    "reply_of",
    "set_rate",
    "to_schedule",
    "unwrapped",
]
