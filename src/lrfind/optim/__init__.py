"""Read, set and verify learning rates on optimizers, whatever their param groups and schedulers."""

from lrfind.optim.apply import apply_rate
from lrfind.optim.rates import Group, Optimizers, Rates, as_list, groups_of, rates_of
from lrfind.optim.reply import reply_of
from lrfind.optim.schedulers import drives, driving, is_scheduler, once, unwrapped
from lrfind.optim.shapes import Scheduled, to_schedule
from lrfind.optim.stepping import Stepping, differing, read_rate, set_rate
from lrfind.optim.watch import AppliedRate, handling_groups, living_schedulers

__all__ = [
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
