"""All that is known here of what numba and llvmlite keep to themselves, and the check that it is still so.

No other file names anything that is private to them. What they document is used anywhere: the names at the top of
numba, `numba.extending`, `numba.types`, `numba.config`, and the `ir` and `binding` of llvmlite.

Each *feature* below is something that numba has no public way for. It has a few names, each looked for when this is
imported, with the arguments that it takes and, where that says what it does, with the names that its code speaks of or
a trial. Where one is not as it is known, the feature is missing: the package goes on by numba's public ways, which take
longer or promise less, and one warning says so. What nothing can be done without (`_NEEDED`) is an ImportError.

``docs/numba.md`` has each name, what it is for, and what is lost without it. Version 0.68 of numba has been tried.
"""

from __future__ import annotations

import contextlib
import gc
import inspect
import warnings
from collections.abc import Callable, Iterator, Sequence
from importlib import import_module
from types import SimpleNamespace
from typing import Any, NamedTuple

import llvmlite.binding as llvm
import numba
from numba import config, types

__all__ = ["ARGUMENT_TYPES", "ARRAY_BOXING", "ARRAY_HANDOVER", "DISK_CACHE", "FEATURES", "FORK_LOCKS",
           "MISSING", "NO_REFERENCES", "NO_WRAPPERS", "PARTS", "SHARED_CODE", "THREADS_IN_KERNELS",
           "THREADS_WITHOUT_LOCK", "WIDE_VECTORS", "AttributeTemplate", "Feature", "InTreePlace", "Library",
           "LinkedLibrary", "PreparedCompiler", "PythonCalls", "StoredFunction", "UnfinishedLibrary",
           "UserPlace", "UserWidePlace", "before_compiling", "cache_folder", "cgutils", "compile_within",
           "counts_references", "current_threads", "dumps", "fork_locks", "get_num_threads",
           "initialize_memory", "launch_threads", "no_references", "no_wrappers",
           "renew_process_lock", "set_cache", "set_num_threads", "struct_model"]


# ---- looking ---------------------------------------------------------------------------------------------------------


def _found(path: str, default: Any = None) -> Any:
    """What a path "module:name.name" leads to, or the default where it leads nowhere."""
    module, _, names = path.partition(":")
    with contextlib.suppress(ImportError, AttributeError):
        thing: Any = import_module(module)
        for name in names.split(".") if names else []:
            thing = getattr(thing, name)
        return thing
    return default


class _Look(NamedTuple):
    """A name, and what is known of it."""

    path: str
    arguments: tuple[str, ...] | None = None
    """Those of a function, without defaults or with; None where that does not matter."""
    speaks_of: tuple[str, ...] = ()
    """Names that the code of a function has."""
    trial: Callable[[Any], Any] | None = None
    """Whether it behaves as it should; what it raises is a no."""

    @property
    def name(self) -> str:
        """The name as Python has it."""
        return self.path.replace(":", ".")

    def holds(self) -> bool:
        """Whether all is as it is known."""
        thing = _found(self.path, self)
        if thing is self:
            return False
        try:
            if self.arguments is not None or self.speaks_of:
                code = inspect.unwrap(thing).__code__
                if self.arguments not in (None, code.co_varnames[:code.co_argcount]):
                    return False
                if not {*self.speaks_of} <= {*code.co_names}:
                    return False
            return self.trial is None or bool(self.trial(thing))
        except Exception:
            return False


class Feature(NamedTuple):
    """What numba has no public way for."""

    looks: tuple[_Look, ...]
    cost: str
    """What is lost without it, for the warning."""


# ---- what nothing can be done without: numba's own way to write operations in LLVM IR, used by many, not documented --

_NEEDED = (
    *(_Look(f"numba.extending:{name}") for name in (
        "infer_getattr", "intrinsic", "lower_getattr_generic", "models.PrimitiveModel", "overload", "register_jitable",
        "register_model")),
    _Look("numba.core.typing.templates:AttributeTemplate._resolve", ("self", "value", "attr"), ("generic_resolve",)),
    *(_Look(f"llvmlite.binding:{name}") for name in (
        "address_of_symbol", "add_symbol", "get_host_cpu_features", "get_host_cpu_name", "get_process_triple")),
    *(_Look(f"numba.core.cgutils:{name}") for name in (
        "alloca_once", "alloca_once_value", "gep_inbounds", "get_or_insert_function", "pack_array", "unpack_tuple")),
    *(_Look(f"numba.core.cpu:CPUContext.{name}") for name in (
        "get_abi_sizeof", "get_c_value", "get_constant", "get_data_type", "get_dummy_value")),
    _Look("numba.core.datamodel:default_manager.lookup", ("self", "fetype"), trial=lambda lookup: [
        lookup(types.Array(types.float64, 2, "C")).get_field_position(name) for name in (
            "meminfo", "parent", "nitems", "itemsize", "data", "shape", "strides")] == [*range(7)]),
    *(_Look(f"numba.extending:models.StructModel.{name}") for name in ("get", "get_value_type", "set")),
)


def _check_needed() -> None:
    for look in _NEEDED:
        if not look.holds():
            raise ImportError(f"fastnet needs {look.name} as numba 0.68 has it, and does not find it in numba "
                              f"{numba.__version__}: install a version that pyproject.toml allows", name="fastnet")


_check_needed()


# ---- features --------------------------------------------------------------------------------------------------------


def _calls_back(njit: Any) -> bool:
    """Whether a call that finds nothing compiled asks the dispatcher's `_compile_for_args` for what to call."""
    if config.DISABLE_JIT:
        return True
    dispatcher = njit(lambda: None)
    dispatcher._compile_for_args = lambda: lambda: True
    return bool(dispatcher())


def _hands_arrays_over(method: Any) -> bool:
    """Whether numba calls a function of this name with these types, to make a NumPy array: a wrong call would crash."""
    declared: list[Any] = []

    def declare(kind: Any, name: str) -> Any:
        declared.append((name, str(kind.return_type), *map(str, kind.args)))
        raise StopIteration

    python = SimpleNamespace(pyobj="object", voidptr="address", context=SimpleNamespace(enable_nrt=True),
                             serialize_object=repr, unserialize=repr, _get_function=declare)
    with contextlib.suppress(StopIteration):
        method(python, SimpleNamespace(box_type=None), None, None)
    return declared == [(ARRAY_HANDOVER, "object", "address", "object", "i32", "i32", "object")]

ARRAY_HANDOVER = "NRT_adapt_ndarray_to_python_acqref"
"""The function in C that makes a NumPy array of one of compiled code."""

_OPTIONS_OF_CPU = "numba.core.cpu:CPUTargetOptions"
_CODEGEN = "numba.core.codegen"
_CACHING = "numba.core.caching"
_PARALLEL = "numba.np.ufunc.parallel"

_HOOK = (
    _Look("numba:jit", trial=lambda jit: "pipeline_class" in inspect.signature(jit).parameters),
    _Look("numba.core.compiler:Compiler.compile_extra", ("self", "func")),
    _Look("numba.core.compiler:Compiler.__init__", None, ("state", "targetctx", "library")),
    _Look("numba.core.typed_passes:NativeLowering.run_pass", ("self", "state"), ("library", "targetctx")),
)

_LIBRARY = (
    _Look("numba.core.cpu:CPUContext.codegen", ("self",)),
    _Look(f"{_CODEGEN}:JITCodeLibrary.__init__", ("self", "codegen", "name")),
    _Look(f"{_CODEGEN}:JITCPUCodegen._library_class",
          trial=lambda library: library is _found(f"{_CODEGEN}:JITCodeLibrary")),
    _Look(f"{_CODEGEN}:JITCodeLibrary.add_ir_module", ("self", "ir_module")),
    _Look(f"{_CODEGEN}:JITCodeLibrary.enable_object_caching", ("self",)),
)

WIDE_VECTORS, PARTS, NO_WRAPPERS = "wide vectors", "parts without code of their own", "no wrappers"
NO_REFERENCES, ARRAY_BOXING, DISK_CACHE = "no references in blocks", "array boxing", "disk cache"
SHARED_CODE = "shared code"
ARGUMENT_TYPES, THREADS_IN_KERNELS = "argument types", "threads in kernels"
THREADS_WITHOUT_LOCK, FORK_LOCKS = "threads without a lock", "locks of a fork"

FEATURES = {
    WIDE_VECTORS: Feature(
        (*_HOOK, *_LIBRARY),
        "loops have vectors of half the width on processors with AVX-512"),
    PARTS: Feature(
        (*_HOOK, *_LIBRARY,
         _Look(f"{_CODEGEN}:JITCodeLibrary.finalize", ("self",), ("_optimize_final_module", "_finalize_final_module")),
         _Look(f"{_CODEGEN}:JITCodeLibrary._optimize_functions", ("self", "ll_module"),
               ("_codegen", "_data_layout", "_function_pass_manager", "run")),
         _Look(f"{_CODEGEN}:JITCPUCodegen._pass_builder", ("self",), ("_tm", "create_pass_builder")),
         _Look(f"{_CODEGEN}:JITCodeLibrary._optimize_final_module", ("self",)),
         _Look(f"{_CODEGEN}:JITCodeLibrary._finalize_final_module", ("self",), ("_finalized",)),
         _Look("numba.core.cpu:CPUContext.get_executable", ("self", "library", "fndesc", "env"))),
        "compiling takes about a sixth longer"),
    NO_WRAPPERS: Feature(
        tuple(_Look(f"{_OPTIONS_OF_CPU}.{name}", trial=lambda option: option.flag_name.startswith("no_c"))
              for name in ("no_cpython_wrapper", "no_cfunc_wrapper")),
        "compiling takes longer"),
    NO_REFERENCES: Feature(
        (_Look(f"{_OPTIONS_OF_CPU}._nrt", trial=lambda option: option.flag_name == "nrt"),),
        "compiled code counts references, and is slower"),
    ARRAY_BOXING: Feature(
        (*_HOOK,
         _Look("numba.core.cpu:CPUContext.get_python_api", ("self", "builder")),
         _Look("numba.core.pythonapi:PythonAPI.__init__", ("self", "context", "builder")),
         _Look("numba.core.pythonapi:PythonAPI.get_env_manager", ("self", "env", "env_body", "env_ptr")),
         _Look("numba.core.pythonapi:PythonAPI._get_function", ("self", "fnty", "name")),
         _Look("numba.core.pythonapi:PythonAPI.nrt_adapt_ndarray_to_python", ("self", "aryty", "ary", "dtypeptr"),
               trial=_hands_arrays_over),
         _Look("numba.core.pythonapi:EnvironmentManager.add_const", ("self", "const")),
         _Look("numba.core.pythonapi:EnvironmentManager.read_const", ("self", "index"))),
        "an exception of a signal handler can crash the process where a kernel returns an array"),
    DISK_CACHE: Feature(
        (_Look("numba.core.dispatcher:Dispatcher.compile", ("self", "sig"),
               ("_cache", "load_overload", "save_overload")),
         _Look(f"{_CACHING}:FunctionCache.__init__", ("self", "py_func"), (
             "_impl_class", "_py_func", "_name", "_cache_path", "_cache_file", "locator", "get_cache_path", "enable")),
         _Look(f"{_CACHING}:FunctionCache._load_overload", ("self", "sig", "target_context"),
               ("_index_key", "_cache_file", "load", "_impl", "rebuild")),
         _Look(f"{_CACHING}:FunctionCache._save_overload", ("self", "sig", "data"),
               ("_impl", "check_cachable", "locator", "ensure_cache_path", "_index_key", "reduce", "_cache_file",
                "save")),
         _Look(f"{_CACHING}:FunctionCache._index_key", ("self", "sig", "codegen"), ("magic_tuple",)),
         _Look(f"{_CACHING}:FunctionCache.flush", ("self",), ("_cache_file", "flush")),
         _Look(f"{_CACHING}:CompileResultCacheImpl.__init__", ("self", "py_func"),
               ("_locator_classes", "from_function")),
         *(_Look(f"{_CACHING}:{place}CacheLocator.{method}", arguments)
           for place in ("UserProvided", "InTree", "UserWide")
           for method, arguments in (("__init__", ("self", "py_func", "py_file")), ("get_cache_path", ("self",)),
                                     ("get_source_stamp", ("self",)), ("ensure_cache_path", ("self",)))),
         _Look("numba.core.serialize:dumps", ("obj",)),
         _Look("numba.core.runtime.nrt:rtsys.initialize", ("self", "ctx"))),
        "what is compiled is kept in numba's own cache, without checksums"),
    SHARED_CODE: Feature(
        (*_HOOK, *_LIBRARY,
         _Look(f"{_CODEGEN}:JITCodeLibrary.finalize", ("self",), ("_get_module_for_linking", "link_in")),
         _Look(f"{_CODEGEN}:JITCodeLibrary.serialize_using_object_code", ("self",), ("_get_module_for_linking",)),
         _Look(f"{_CODEGEN}:JITCodeLibrary._get_module_for_linking", ("self",), ("_shared_module", "clone"))),
        "compiling takes about a fifth longer"),
    ARGUMENT_TYPES: Feature(
        (_Look("numba.core.dispatcher:Dispatcher._compile_for_args"), _Look("numba:njit", trial=_calls_back)),
        "kernels say at length, or not at all, that arguments have types that they do not take"),
    THREADS_IN_KERNELS: Feature(
        (_Look(f"{_PARALLEL}:_iget_num_threads._defn", ("typingctx",)),),
        "each process compiles the parallel kernels anew"),
    THREADS_WITHOUT_LOCK: Feature(
        (_Look(f"{_PARALLEL}:_launch_threads", ()),
         _Look(f"{_PARALLEL}:_load_threading_functions", ("lib",), ("_get_num_threads", "_set_num_threads"))),
        "an exception from outside can leave a lock of numba's taken for ever"),
    FORK_LOCKS: Feature(
        (*(_Look(path, trial=lambda lock: hasattr(lock, "__enter__") and hasattr(lock, "__exit__")) for path in (
            "numba.core.compiler_lock:global_compiler_lock", f"{_PARALLEL}:_backend_init_thread_lock",
            "llvmlite.binding:ffi.lib._lock")),
         _Look(f"{_PARALLEL}:_backend_init_process_lock"),
         _Look(f"{_PARALLEL}:_launch_threads", (), ("_backend_init_process_lock", "_set_init_process_lock"))),
        "a child that is forked while another thread compiles can hang"),
}
"""What there is, in the order of the warning."""

MISSING: dict[str, str] = {}
"""The features that are missing, each with the name that is not as it is known."""


def _look_for_all() -> None:
    seen: dict[_Look, bool] = {}
    for name, feature in FEATURES.items():
        for look in feature.looks:
            if look not in seen:
                seen[look] = look.holds()
            if not seen[look]:
                MISSING[name] = look.name
                break
    if MISSING:
        lost = "; ".join(f"{name} ({MISSING[name]}): {FEATURES[name].cost}" for name in MISSING)
        warnings.warn(f"numba {numba.__version__} is not one that fastnet knows the inside of; results are the same, "
                      f"but it does without {lost}", RuntimeWarning, stacklevel=3)


_look_for_all()


# ---- by plain names --------------------------------------------------------------------------------------------------

cgutils: Any = _found("numba.core.cgutils")
"""numba's helpers for LLVM IR."""

AttributeTemplate: Any = _found("numba.core.typing.templates:AttributeTemplate")
"""What says of which types the attributes of a type are."""

_models: Any = _found("numba.core.datamodel:default_manager")


def struct_model(kind: Any) -> Any:
    """Return how compiled code has a struct of numba's, an array say: with `get` and `set` for its members."""
    return _models.lookup(kind)


Library: Any = _found(f"{_CODEGEN}:JITCodeLibrary", object)
"""What has been compiled of a function, and of those that it calls."""


class LinkedLibrary(Library):
    """A library with a say in what others link of it."""

    _shared_module: Any

    def module_for_linking(self, module: Any) -> Any:
        """Return what others link, given the module of this library."""
        raise NotImplementedError

    def _get_module_for_linking(self) -> Any:
        if self._shared_module is None:
            module = super()._get_module_for_linking()
            self._shared_module = self.module_for_linking(module)
        return self._shared_module


class UnfinishedLibrary(Library):
    """A library that is only ever linked into others: hardly optimized, and not made machine code of."""

    _codegen: Any

    def _optimize_functions(self, ll_module: Any) -> None:
        """Make values of the variables that numba has in memory, so that there is less to link.

        numba has all passes run here that LLVM has for a single function. They run again where it is linked.
        """
        ll_module.data_layout = self._codegen._data_layout
        passes = llvm.create_new_module_pass_manager()
        passes.add_sroa_pass()
        passes.add_simplify_cfg_pass()
        passes.add_instruction_combine_pass()
        passes.run(ll_module, llvm.create_pass_builder(self._codegen._tm, llvm.create_pipeline_tuning_options()))

    def _optimize_final_module(self) -> None:
        """Leave that to whoever links it."""

    def _finalize_final_module(self) -> None:
        """Make no machine code."""
        self._finalized = True


_Compiler: Any = _found("numba.core.compiler:Compiler", object)


class PreparedCompiler(_Compiler):
    """numba's compiler, as `pipeline_class`, with a place to say what a compilation uses."""

    def prepare(self, context: Any, name: str) -> Any:
        """Change the context, which is a copy for this compilation; return its library, or None for numba's own."""
        raise NotImplementedError

    def compile_extra(self, func: Callable[..., Any]) -> Any:
        """Compile a function of Python, and what it calls: in one go, without looks for garbage.

        These take an eighth of the time: numba makes millions of objects, most of which stay until it is done. Other
        threads have none meanwhile either; a fork waits until it is over.
        """
        self.state.library = self.prepare(self.state.targetctx, func.__qualname__)
        enabled = gc.isenabled() and FORK_LOCKS not in MISSING
        try:
            if enabled:
                gc.disable()
            return super().compile_extra(func)
        finally:
            if enabled:
                gc.enable()


_PythonAPI: Any = _found("numba.core.pythonapi:PythonAPI", object)


class PythonCalls(_PythonAPI):
    """How compiled code calls Python."""

    def declared(self, function_type: Any, name: str) -> Any:
        """Return a function in C that numba has linked, declared in the module that is being made."""
        return self._get_function(function_type, name=name)


def no_wrappers() -> dict[str, bool]:
    """Return the options of a function that is called neither from Python nor from C."""
    return {} if NO_WRAPPERS in MISSING else {"no_cpython_wrapper": True, "no_cfunc_wrapper": True}


def no_references() -> dict[str, bool]:
    """Return the options of a function that allocates nothing, and whose arrays are held by its caller."""
    return {} if NO_REFERENCES in MISSING else {"_nrt": False}


def counts_references(options: dict[str, Any]) -> bool:
    """Whether a function with these options may allocate."""
    return bool(options.get("_nrt", True))


def before_compiling(dispatcher: Any, look: Callable[[tuple[Any, ...], dict[str, Any]], None]) -> None:
    """Have `look` see the arguments of calls that find nothing compiled for their types; it may raise."""
    if config.DISABLE_JIT or ARGUMENT_TYPES in MISSING:
        return
    compile_for_args = dispatcher._compile_for_args

    def look_and_compile(*args: Any, **kwargs: Any) -> Any:
        look(args, kwargs)
        return compile_for_args(*args, **kwargs)

    dispatcher._compile_for_args = look_and_compile


# ---- the disk cache --------------------------------------------------------------------------------------------------

UserPlace: Any = _found(f"{_CACHING}:UserProvidedCacheLocator", object)
InTreePlace: Any = _found(f"{_CACHING}:InTreeCacheLocator", object)
UserWidePlace: Any = _found(f"{_CACHING}:UserWideCacheLocator", object)

dumps: Any = _found("numba.core.serialize:dumps")
"""Turns into bytes what Python's pickle does not: functions and modules."""

_Implementation: Any = _found(f"{_CACHING}:CompileResultCacheImpl", object)
_FunctionCache: Any = _found(f"{_CACHING}:FunctionCache", object)


def set_cache(dispatcher: Any, cache: Any) -> None:
    """Have a function loaded from a cache, and kept there."""
    dispatcher._cache = cache


def compile_within(dispatcher: Any, context: Callable[[], contextlib.AbstractContextManager[None]]) -> None:
    """Have a function compiled, or loaded from its cache, within a context of its own each time."""
    without_context = dispatcher.compile

    def compile_for(sig: Any) -> Any:
        with context():
            return without_context(sig)

    dispatcher.compile = compile_for


def initialize_memory(context: Any) -> None:
    """Make numba ready to load what allocates, without all that it loads to compile something."""
    _found("numba.core.runtime.nrt:rtsys").initialize(context)


class StoredFunction(_FunctionCache):
    """numba's cache of one function; subclasses say where, and under which key.

    Parameters
    ----------
    function : function
    """

    places: Sequence[type] = ()
    """Where the files may lie: subclasses of the three places, in the order in which they are tried."""

    _cache_path: str

    def __init_subclass__(cls) -> None:
        cls._impl_class = type("_PlacedImplementation", (_Implementation,), {"_locator_classes": list(cls.places)})

    @property
    def function(self) -> Callable[..., Any]:
        """The function."""
        return self._py_func

    @property
    def name(self) -> str:
        """The function, for people."""
        return self._name

    def keep_in(self, folder: str, files: Any) -> None:
        """Keep what is compiled in a folder by something with the methods `load`, `save` and `flush`."""
        self._cache_path, self._cache_file = folder, files

    def load(self, sig: Any, target_context: Any) -> Any:
        """Load what was compiled for a signature, or return None."""
        return self._load_overload(sig, target_context)

    def save(self, sig: Any, data: Any) -> None:
        """Keep what was compiled for a signature, if numba can turn it into bytes."""
        self._save_overload(sig, data)

    def key(self, sig: Any, codegen: Any) -> Any:
        """Return what tells one compilation of the function from another."""
        return super()._index_key(sig, codegen)

    def _index_key(self, sig: Any, codegen: Any) -> Any:
        return self.key(sig, codegen)


@contextlib.contextmanager
def cache_folder(folder: str) -> Iterator[None]:
    """Have numba's own cache, of what is decorated within, lie in a folder."""
    before = config.CACHE_DIR
    config.CACHE_DIR = folder
    try:
        yield
    finally:
        config.CACHE_DIR = before


# ---- threads and forks -----------------------------------------------------------------------------------------------

current_threads: Any = (numba.get_num_threads if config.DISABLE_JIT or THREADS_IN_KERNELS in MISSING
                        else _found(f"{_PARALLEL}:_iget_num_threads"))
"""How many threads there are, for compiled code. numba's public function holds a pointer of this process, which keeps a
kernel out of the disk cache. The intrinsic calls the same function by its name, which every parallel kernel resolves
when it is loaded; so it is only ever compiled into one."""

_parallel: Any = _found(_PARALLEL)


def launch_threads() -> None:
    """Load a threading layer, if none has been used yet."""
    if THREADS_WITHOUT_LOCK in MISSING:
        numba.get_num_threads()
    else:
        _parallel._launch_threads()


# numba's own functions first take a lock between processes, in code of Python: an exception from outside can leave that
# locked, for ever. What they call then is there as soon as numba has loaded a threading layer.


def get_num_threads() -> int:
    """Return how many threads the kernels use in the calling thread."""
    public = numba.get_num_threads
    return int((public if THREADS_WITHOUT_LOCK in MISSING else getattr(_parallel, "_get_num_threads", public))())


def set_num_threads(threads: int) -> None:
    """Set how many threads the calling thread uses."""
    public = numba.set_num_threads
    (public if THREADS_WITHOUT_LOCK in MISSING else getattr(_parallel, "_set_num_threads", public))(threads)


def fork_locks() -> list[Any]:
    """Return the locks that a forked child would wait for in vain, in the order in which numba takes them.

    Compiling and loading hold the first, launching threads and asking how many there are the second, each call of LLVM
    the third.
    """
    return [_found(look.path) for look in FEATURES[FORK_LOCKS].looks[:3] if look.holds()]


def renew_process_lock() -> None:
    """Forget a lock between processes, which another one may hold for ever. numba makes one where there is none."""
    if getattr(_parallel, "_backend_init_process_lock", None) is not None:
        _parallel._backend_init_process_lock = None
