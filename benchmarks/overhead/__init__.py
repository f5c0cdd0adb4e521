"""What a probe step costs beside the same step in a bare loop, and beside the peers.

Everybody does the same work: the same model from the same weights, the same batches from the same kind of loader,
the same optimizer, the same number of steps at rates too low to diverge, no early stop, no progress bar. The loader
is the clock: it notes the time at which each batch is asked for, so that every contestant is timed in the same way,
as it ships, from outside. From one request to the next is one whole step: the loader, forward, backward, the update
and all bookkeeping.

- *Time per step* is the median over the steps of one run, the first few left out. It is the slope that runs of two
  lengths would give, without the noise of subtracting two totals. The mean over the same steps, which also holds
  what happens only now and then (garbage collection, growing lists), is written beside it.
- *Setup and restore* is what is left: the time of the call less its steps. Objects that the user makes anyway
  (model, optimizer, loader, trainer) are made before the call.
- The clock is the CPU time of the process (``time.process_time``): it stands still while another process has the
  core, and unlike the thread's own clock it counts helper threads. The ratios by the wall clock are written too.
- A *ratio* is taken within one repeat, in which each contestant runs once, one right after the other; each repeat
  starts with another one, and every other repeat goes backwards. Reported are the median and the quartiles over the
  repeats.

The bare loop of PyTorch is ``zero_grad``, forward, ``backward``, ``step``; it never reads its loss. Since every finder
has to read the loss, the same loop with ``loss.item()`` stands beside it. The baseline for Lightning is its own
``Trainer.fit`` without logger, checkpoints and bars.

Run: ``make bench-overhead``.
"""

import os

os.environ["TQDM_DISABLE"] = "1"  # tqdm reads it when it is imported, which torch does: here, before anything else is
