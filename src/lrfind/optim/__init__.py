"""Read, set and verify learning rates on optimizers, whatever their param groups and schedulers."""

from lrfind.optim.apply import apply_rate
from lrfind.optim.rates import Optimizers, Rates, as_list, rates_of, read_rate, set_rate
from lrfind.optim.watch import AppliedRate

__all__ = ["AppliedRate", "Optimizers", "Rates", "apply_rate", "as_list", "rates_of", "read_rate", "set_rate"]
