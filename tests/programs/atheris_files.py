"""Files of models and checkpoints under coverage-guided fuzzing, with atheris, where that installs (not in the tests).

    NUMBA_DISABLE_JIT=1 python -m tests.atheris_files -runs=100000 -seed=1

Options are libFuzzer's. It begins with the files of test_fuzz_files.py and expects the same of each: a ValueError that
names the file, or a model that is valid.
"""

import io
import random
import sys
import tempfile
import warnings
import zipfile
from pathlib import Path

import atheris

with atheris.instrument_imports(include=["fastnet"]):
    pass

from . import test_fuzz_files as files

SUFFIXES = (".npz", ".safetensors")


def main():
    """Fuzz until libFuzzer's options say that it is enough."""
    warnings.simplefilter("error")
    warnings.filterwarnings("ignore", "Duplicate name")
    folder = Path(tempfile.mkdtemp(dir="/dev/shm" if Path("/dev/shm").is_dir() else None))
    bases = files.bases(folder)
    kinds = list(dict.fromkeys(kind for kind, _, _ in bases))
    corpus = folder / "corpus"
    corpus.mkdir()
    for number, (kind, suffix, content) in enumerate(bases):
        # An input is a byte for the kind and the format, then the file.
        (corpus / str(number)).write_bytes(bytes([2 * kinds.index(kind) + SUFFIXES.index(suffix)]) + content)
    counts = {"refused": 0, "valid": 0}

    def test(data):
        if not data:
            return
        kind, suffix = kinds[data[0] // 2 % len(kinds)], SUFFIXES[data[0] % 2]
        path = folder / f"mutated{suffix}"
        path.write_bytes(data[1:])
        try:
            files.load(kind, path)
            counts["valid"] += 1
        except ValueError as error:
            if str(path) not in str(error):
                raise AssertionError("the message does not name the file") from error
            counts["refused"] += 1
        if sum(counts.values()) % 10_000 == 0:
            print(counts, file=sys.stderr, flush=True)

    def mutate(data, max_size, seed):
        """Mutate the bytes of a file, or those of a member of an archive, under a right checksum."""
        generator = random.Random(seed)
        if generator.random() < 0.7 and data[1:3] == b"PK":
            try:
                with zipfile.ZipFile(io.BytesIO(data[1:])) as archive:
                    members = [(name, archive.read(name)) for name in archive.namelist()]
            except Exception:  # it has been mutated as a whole
                members = []
            if members:
                at = generator.randrange(len(members))
                name, content = members[at]
                members[at] = name, atheris.Mutate(content, len(content) + 64)
                stream = io.BytesIO()
                with zipfile.ZipFile(stream, "w") as archive:
                    for name, content in members:
                        archive.writestr(name, content)
                return (data[:1] + stream.getvalue())[:max_size]
        return atheris.Mutate(data, max_size)

    found = f"-artifact_prefix={tempfile.gettempdir()}/fastnet-"
    atheris.Setup([*sys.argv, "-max_len=20000", found, str(corpus)], test, custom_mutator=mutate)
    atheris.Fuzz()


if __name__ == "__main__":
    main()
