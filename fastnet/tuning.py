"""The numbers that a machine decides on: what is measured, not derived. `python bench/tuning.py` measures them again.

Each has its unit, what it is, and what is traded: what a higher number and what a lower one is better for. The modules
import the names, so compiled code has the numbers in it, and nobody looks them up. Who changes one here changes the
sources, by which the disk cache is keyed. Setting an attribute of this module has no effect on modules that are
imported already, and the cache does not see it: bench/tuning.py says how it is done.
"""

from __future__ import annotations

# ---- how sums are cut: changing these changes the last bits ----------------------------------------------------------
# On all others no result depends, in no bit: they say who adds what up when, never in which order.

SOME_TERMS = 96
"""Unit: terms of a sum.

A sum of a product over at least so many terms is made of two sums, added up: each of two threads can then have its part
of the features and of the weights, and only sums travel between the cores. Rounding errors are smaller, too.

Higher: fewer additions of sums, for small networks. Lower: less travels between two cores.
"""

MANY_TERMS = 512
"""Unit: terms of a sum.

A sum over at least so many terms is made of four sums, added pairwise, for up to four threads.

Higher: fewer additions of sums. Lower: less travels between the cores, and rounding errors are smaller.
"""

SPLIT_SAMPLES = 64
"""Unit: samples.

A sum over at least so many samples is two sums, added up: each of two threads can then sum over samples of its own, and
only sums travel between the cores.

Higher: fewer additions of sums, for small minibatches. Lower: less travels between two cores.
"""

# ---- pieces that fit a cache -----------------------------------------------------------------------------------------

K_BLOCK = 224
"""Unit: terms of a sum.

So many a tile takes at a time at most. The sum goes on where it was, so that its order does not depend on this.

Higher: sums are stored and loaded less often. Lower: what tiles need of the right factor, so many rows as wide as a
tile, stays in the first-level cache.
"""

PRODUCT_ROWS = 256
"""Unit: rows of an affine map, or of deltas: samples; a multiple of 8.

So many a kernel works on at a time.

Higher: panels of the right factor are copied less often. Lower: sums stay in the second-level cache.
"""

BLOCK_PANELS = 8
"""Unit: panels, each of as many columns as a tile has.

So many of an affine map, or of deltas, a kernel works on at a time, for all terms.

Higher: the left factor is read less often. Lower: sums stay in the second-level cache.
"""

GRADIENT_ROWS = 64
"""Unit: rows of a gradient, features; a multiple of 8.

So many features, of K_BLOCK samples, the kernel of a gradient copies at a time.

Higher: deltas come less often from the second-level cache. Lower: what is copied stays there, too.
"""

PANEL_ROWS = 16
"""Unit: rows of the left factor of a product.

From so many on a kernel copies the right factor into panels, block by block; so do scores, with tiles of 4 rows.

Higher: fewer copies. Lower: tiles read panels, row below row.
"""

BLOCK_ROWS = 128
"""Unit: rows, of samples or of weights; a multiple of 8, at least `FEW_ROWS`, and at least 64: a tile is not wider.

So many are worked on at a time where what is made of them should still be in the cache when it is used.

Higher: weights come less often from further away. Lower: activations stay in a nearer cache, and scratch is smaller.
"""

FEW_ROWS = 64
"""Unit: samples; a multiple of 8, at most `BLOCK_ROWS`.

So many go through the layers at a time where the first layer has few weights, which are near anyway.

Higher: fewer rounds. Lower: activations stay in the first-level cache.
"""

FEW_WEIGHTS = 1 << 15
"""Unit: weights of the first layer.

Up to so many `FEW_ROWS` samples go through the layers at a time, beyond it `BLOCK_ROWS`.

Higher: activations of wider networks stay in the first-level cache. Lower: their weights come less often from the
second-level one.
"""

GATHERED_SAMPLES = 8
"""Unit: samples.

So many are gathered side by side when a minibatch is packed: what they write lies in a row, some cache lines of it.

Higher: longer rows are written. Lower: fewer rows are read at the same time.
"""

FAR_BYTES = 1024
"""Unit: bytes from one row of the left factor to the next.

From so many on a tile fetches what the tile below it will need: what the hardware fetches ahead ends with the row.

Higher: fewer instructions, where the hardware sees what comes. Lower: fewer waits for memory.
"""

PACKS_AHEAD = 2
"""Unit: packs of the left factor, each of as many terms as a tile has rows.

So far ahead a tile fetches of the rows that it reads, where their packs lie apart.

Higher: a wait for a further cache is hidden, too. Lower: what is fetched is still there when it is used.
"""

PACKS_APART = 32
"""Unit: packs of features.

So many lie unused behind each minibatch that a core has packed for itself. Who reads pack after pack fetches some more
at the end, tiles as well as the hardware; if these were another core's, that one would have to take each line back.

Higher: right where the hardware fetches further ahead. Lower: less memory, of which most is never touched.
"""

CACHE_LINE = 64
"""Unit: bytes; a power of two, at least 16.

Arrays begin at a multiple of it, and tiles fetch ahead once for each.

Higher: right where lines, or pairs of them, are longer. Lower: less is padded, but vectors straddle two lines.
"""

COUNTER_SPACING = 16
"""Unit: elements of 8 bytes.

From one counter of a team to the next: two cache lines, so that no two counters share one or its neighbour.

Higher: nothing, once no two share a line. Lower: less memory, but cores take lines from one another.
"""

ROW_VECTORS = 8
"""Unit: vectors; at least 4, and fewer than there are registers.

The width of the widest tile of a single row, each with a sum of its own: they hide how long a multiply-add takes.

Higher: fewer tiles, each with more sums at once. Lower: a smaller last tile, and less code.
"""

# ---- how many threads ------------------------------------------------------------------------------------------------

WORK_PER_THREAD = 1_000_000
"""Unit: multiply-adds.

Below this much work for each thread a parallel region of numba costs as much as it saves: some ten microseconds by
itself, and far more where another program has a core.

Higher: small work is left in peace by what regions cost. Lower: smaller work is done by several threads.
"""

TEAM_WORK_PER_THREAD = 200_000
"""Unit: multiply-adds.

The same for one more worker in a team, which is there already: what phases cost is waiting for each other.

Higher: small steps have no waits. Lower: smaller steps are done by several threads.
"""

ELEMENT_WORK = 16
"""Unit: multiply-adds of a matrix product for an element.

What elementwise work costs, in the unit in which `WORK_PER_THREAD` counts.

Higher: smaller arrays are worked on by several threads. Lower: they are left to one.
"""

EXP_WORK = 64
"""Unit: multiply-adds of a matrix product for an element.

What an exponential costs with all that belongs to it, in the same unit.

Higher: smaller arrays are worked on by several threads. Lower: they are left to one.
"""

REGION_WORK = 200_000_000
"""Unit: multiply-adds.

Up to so many, about a millisecond, threads have to be there at once to be of use. A region's are, unless regions are
slow: then a loss of so little work is serial. Beyond it scores are made by a team.

Higher: more work has its threads at once. Lower: more work has the shares of a team, and weights in panels.
"""

SLOW_REGION_WORK = 10_000_000
"""Unit: multiply-adds.

The same for scores where regions are slow, as numba's own are (workqueue): they are serial up to so much work, and a
team's from then on.

Higher: no wait for threads. Lower: smaller work is done by several threads.
"""

SPINS = 2000
"""Unit: looks at a counter.

So often a waiting worker looks before it offers its core to others, each time that it looks from then on.

Higher: a short wait ends at once. Lower: where others want the core, whoever is waited for gets it sooner.
"""

LINGERS = 500
"""Unit: looks at the number of doors.

So often a helper looks for another team to help, after its work, before it sleeps: some three tenths of a millisecond.
After each look it offers its core to others.

Higher: calls that come one after the other find it awake. Lower: an idle core rests sooner.
"""

OTHERS_NANOSECONDS = 10_000
"""Unit: nanoseconds between two such looks.

If more have passed, somebody else has had the core meanwhile, and the helper sleeps at once: it would be in the way.

Higher: what interrupts a core for a moment changes nothing. Lower: who wants the core gets it for good.
"""

KNOCKS = 20
"""Unit: looks at a door.

So often a helper looks for the door of a team that is not open yet. That is seldom: the caller has to be stopped, by
another thread or an exception, between asking for help and beginning the work.

Higher: helpers still come to a team that begins late. Lower: they are free sooner where one never begins.
"""

KNOCK_SECONDS = 0.0005
"""Unit: seconds.

So long a helper sleeps between two such looks.

Higher: it is woken less often. Lower: it comes sooner.
"""

# ---- scores and labels of many samples -------------------------------------------------------------------------------

PACKED_ROWS = 1024
"""Unit: samples.

From so many on the weights are copied into panels first.

Higher: fewer copies. Lower: tiles read panels, row below row, from the first-level cache.
"""

WIDE_ROWS = 128
"""Unit: samples.

The same for wide weights, whose rows share few sets of the first-level cache.

Higher: fewer copies. Lower: tiles read panels.
"""

WIDE_BYTES = 2048
"""Unit: bytes of a row of weights.

From so many on weights are wide.

Higher: fewer copies. Lower: more weights are read from panels.
"""

CHUNK_WORK = 2_000_000_000
"""Unit: multiply-adds.

Scores are computed in chunks of so much work, some ten milliseconds.

Higher: fewer calls. Lower: less memory, and a shorter wait for Ctrl-C.
"""

CHUNK_ROWS = 64
"""Unit: samples.

A chunk has at least so many, however large the network is.

Higher: large weights come less often from memory. Lower: a shorter wait for Ctrl-C.
"""

LOSS_BYTES = 1 << 20
"""Unit: bytes of the samples of a minibatch.

Up to so many the loss and its gradients are made by the compiled training step, which copies samples and weights;
beyond it by the kernels, which do not, and have to be compiled besides.

Higher: more is made by what is compiled anyway. Lower: nothing is copied, and less memory is kept for the next call.
"""

PART_BYTES = 1 << 24
"""Unit: bytes of the samples, or of what the widest layer makes of them.

Up to so many a part of all samples has, of which the solver lbfgs has loss and gradients made at once.

Higher: fewer parts, whose gradients are added up. Lower: less memory.
"""

IDLE_WORKSPACES = 2
"""Unit: workspaces.

So many of those that losses have been made with are kept, each for one number of samples and one network's sizes; and
so many of those that estimators were trained with.

Higher: more sizes in turn find theirs. Lower: less memory is kept.
"""

IDLE_BYTES = 1 << 20
"""Unit: bytes.

Only where a minibatch and the weights have at most about so many an estimator's workspace is kept.

Higher: a further `partial_fit` of a larger network is shorter. Lower: less memory is kept.
"""

SHARES_PER_THREAD = 4
"""Unit: shares.

So many there are at least for each thread of the team that computes scores, where there are samples enough.

Higher: a thread that comes late holds up the others less. Lower: fewer and longer shares, which cost less each.
"""

# ---- minibatches -----------------------------------------------------------------------------------------------------

FEW_INDICES = 500
"""Unit: indices of samples.

So few are left to NumPy to draw, as each call of it costs as much.

Higher: fewer calls. Lower: fewer indices are drawn in the slow way.
"""

MANY_WORDS = 1 << 14
"""Unit: random words of 4 bytes.

So many are drawn at a time at most.

Higher: fewer calls. Lower: they are still in a near cache when they are looked at.
"""

AHEAD_INDICES = 1 << 15
"""Unit: indices of samples.

So many are worth asking a helper to draw them, who comes after some ten microseconds.

Higher: less asking. Lower: shorter runs have their indices drawn while the caller works.
"""

AHEAD_PARTS = (1, 6, 16)
"""Unit: shares of the steps of a run, of which the last number is the whole.

Where the parts end that are drawn ahead: the caller waits for the first, so it is short, and no other is so long that
it is not drawn while the one before is worked on.

Higher (a later first end): fewer parts, each of which costs some microseconds. Lower: a shorter wait for the first.
"""

# ---- how much at a time: work between two looks for Ctrl-C -----------------------------------------------------------

RUN_SECONDS = 0.02
"""Unit: seconds.

So long one run of compiled steps, with its draws, is meant to take.

Higher: fewer calls, and more that is drawn at once. Lower: Ctrl-C and a progress bar wait less.
"""

FIRST_WORK = 20_000_000
"""Unit: multiply-adds.

So much work the first run of compiled steps has, before it is known how long a step takes.

Higher: the first run of a small network is not so short that calling it takes longer. Lower: on a slow machine a
progress bar and Ctrl-C do not wait.
"""

CHECK_WORK = 1_000_000_000
"""Unit: multiply-adds.

Up to so many an accuracy check is made between two compiled steps: a tenth of a second on one core.

Higher: larger checks have no call of their own. Lower: Ctrl-C is not kept waiting.
"""

RUN_INDICES = 1_000_000
"""Unit: indices of samples, of 8 bytes.

So many are drawn for one run at most.

Higher: fewer calls. Lower: less memory.
"""

EPOCHS_INDICES = 1 << 14
"""Unit: indices of samples, of 8 bytes.

So many a run of several epochs of an estimator has at most.

Higher: fewer calls. Lower: less memory.
"""

FINITE_PIECE = 1 << 20
"""Unit: elements.

So many are looked through at a time for NaN and inf, or converted outside of minibatches.

Higher: fewer calls. Lower: an error comes early, and Ctrl-C is not kept waiting.
"""

CHECKSUM_PIECE = 1 << 24
"""Unit: bytes.

So many are taken at a time into the checksum of the data that a training run is made with.

Higher: fewer calls. Lower: Ctrl-C is not kept waiting.
"""
