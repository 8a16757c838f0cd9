"""The program that compares two versions: its digests are the same with one thread and with several."""

import pytest

from ..conftest import COMPILED
from .bits import ROOT, digests_of


@pytest.mark.skipif(not COMPILED, reason="minutes without compilation")
def test_digests_do_not_depend_on_the_number_of_threads():
    digests = digests_of(ROOT)  # which ends with an error where a digest does
    assert len(digests) > 100
    assert len(set(digests.values())) == len(digests)  # no two cases are the same
