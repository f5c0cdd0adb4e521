"""Read, set and verify learning rates on optimizers, with any param groups and schedulers."""

from lrfind.optim.apply import apply_rate
from lrfind.optim.rates import CLOSE, Optimizers, as_list, differing, groups_of, held_by
from lrfind.optim.reply import reply_of
from lrfind.optim.schedulers import check_optimizer, driving, is_scheduler, living_schedulers, outermost, unwrapped
from lrfind.optim.stepping import AppliedRate, Stepping
from lrfind.optim.trajectory import Rates, Scheduled, counts, rates_of, to_schedule

__all__ = ["CLOSE", "AppliedRate", "Optimizers", "Rates", "Scheduled", "Stepping", "apply_rate", "as_list"]
__all__ += ["check_optimizer", "counts", "differing", "driving", "groups_of", "held_by", "is_scheduler"]
__all__ += ["living_schedulers", "outermost", "rates_of", "reply_of", "to_schedule", "unwrapped"]
