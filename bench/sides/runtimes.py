"""What only predicts: ONNX Runtime, OpenVINO and LiteRT, each given the same network in its own format."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from .problem import Array, Problem

__all__ = ["LiteRt", "OnnxRuntime", "OpenVino"]


def onnx_model(problem: Problem) -> bytes:
    """The network as an ONNX file, from samples to labels."""
    import onnx
    from onnx import helper, numpy_helper

    kind = helper.np_dtype_to_tensor_dtype(problem.X.dtype)
    nodes = [helper.make_node("Gemm", ["X", "W1", "b1"], ["Z1"]), helper.make_node("Relu", ["Z1"], ["A1"]),
             helper.make_node("Gemm", ["A1", "W2", "b2"], ["Z2"]),
             helper.make_node("ArgMax", ["Z2"], ["labels"], axis=1, keepdims=0)]
    graph = helper.make_graph(
        nodes, "net", [helper.make_tensor_value_info("X", kind, [None, problem.X.shape[1]])],
        [helper.make_tensor_value_info("labels", onnx.TensorProto.INT64, [None])],
        [numpy_helper.from_array(array, name)
         for name, array in zip(("W1", "b1", "W2", "b2"), problem.weights, strict=True)])
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
    return bytes(model.SerializeToString())


class OnnxRuntime:
    """ONNX Runtime, with so many threads, which spin while they wait or sleep, its arrays bound beforehand or not."""

    def __init__(self, threads: int | None = None, spinning: bool = True, binding: bool = False) -> None:
        import onnx  # noqa: F401
        import onnxruntime

        self._runtime, self._binding = onnxruntime, binding
        self._options = onnxruntime.SessionOptions()
        if threads:
            self._options.intra_op_num_threads = threads
        if not spinning:
            self._options.add_session_config_entry("session.intra_op.allow_spinning", "0")

    def predictor(self, problem: Problem) -> Callable[[Array], Array]:
        session = self._runtime.InferenceSession(onnx_model(problem), self._options, ["CPUExecutionProvider"])
        if not self._binding:
            return lambda X: session.run(None, {"X": X})[0]
        bindings: dict[int, Any] = {}  # an output that is bound keeps the number of rows of its first call

        def predict(X: Array) -> Array:
            binding = bindings.get(len(X))
            if binding is None:
                binding = bindings[len(X)] = session.io_binding()
                binding.bind_output("labels")
            binding.bind_cpu_input("X", X)
            session.run_with_iobinding(binding)
            labels: Array = binding.copy_outputs_to_cpu()[0]
            return labels

        return predict


class OpenVino:
    """OpenVINO, asked for float32 throughout and for the shortest call; float64 it does not compute in."""

    dtypes = ("float32",)

    def __init__(self, threads: int | None = None) -> None:
        import onnx  # noqa: F401
        import openvino

        self._core = openvino.Core()
        self._settings = {"INFERENCE_PRECISION_HINT": "f32", "PERFORMANCE_HINT": "LATENCY",
                          **({"INFERENCE_NUM_THREADS": threads} if threads else {})}

    def predictor(self, problem: Problem) -> Callable[[Array], Array]:
        model = self._core.read_model(onnx_model(problem))
        request = self._core.compile_model(model, "CPU", self._settings).create_infer_request()
        return lambda X: request.infer([X], share_inputs=True)[0]


class LiteRt:
    """LiteRT, whose XNNPACK takes the network as a whole, for a number of rows that is set beforehand."""

    dtypes = ("float32",)

    def __init__(self, threads: int) -> None:
        from ai_edge_litert import interpreter

        self._interpreter, self._threads = interpreter.Interpreter, threads

    def predictor(self, problem: Problem) -> Callable[[Array], Array]:
        model, interpreters = _flat_model(problem), {}

        def predict(X: Array) -> Array:
            interpreter = interpreters.get(len(X))
            if interpreter is None:
                interpreter = interpreters[len(X)] = self._interpreter(model_content=model, num_threads=self._threads)
                interpreter.resize_tensor_input(0, X.shape)
                interpreter.allocate_tensors()
            interpreter.set_tensor(0, X)
            interpreter.invoke()
            labels: Array = interpreter.get_tensor(7)
            return labels

        return predict


def _flat_model(problem: Problem) -> bytes:
    """The network as a LiteRT file: two fully connected layers, ReLU in the first, and the largest score's index."""
    import flatbuffers
    from ai_edge_litert import schema_py_generated as schema

    W1, b1, W2, b2 = problem.weights
    constants = [np.ascontiguousarray(W1.T), b1, np.ascontiguousarray(W2.T), b2, np.array(1, np.int32)]
    model = schema.ModelT()
    model.version, model.buffers = 3, [schema.BufferT()]
    graph = schema.SubGraphT()
    graph.tensors = []

    def tensor(name: str, shape: tuple[int, ...], kind: int, constant: Array | None = None) -> None:
        made = schema.TensorT()
        made.name, made.shape, made.type, made.buffer = name, list(shape), kind, 0
        if constant is not None:
            buffer = schema.BufferT()
            buffer.data = np.frombuffer(constant.tobytes(), np.uint8)
            made.buffer = len(model.buffers)
            model.buffers.append(buffer)
        graph.tensors.append(made)

    kinds = schema.TensorType
    tensor("X", (1, len(W1)), kinds.FLOAT32)
    for name, constant in zip(("W1", "b1", "W2", "b2", "axis"), constants, strict=True):
        tensor(name, constant.shape, kinds.INT32 if name == "axis" else kinds.FLOAT32, constant)
    tensor("Z2", (1, W2.shape[1]), kinds.FLOAT32)
    tensor("labels", (1,), kinds.INT64)
    tensor("A1", (1, W1.shape[1]), kinds.FLOAT32)

    codes = (schema.BuiltinOperator.FULLY_CONNECTED, schema.BuiltinOperator.ARG_MAX)
    model.operatorCodes = []
    for code in codes:
        made = schema.OperatorCodeT()
        made.builtinCode = made.deprecatedBuiltinCode = code
        made.version = 1
        model.operatorCodes.append(made)

    def layer(inputs: list[int], output: int, activation: int) -> Any:
        made = schema.OperatorT()
        made.opcodeIndex, made.inputs, made.outputs = 0, inputs, [output]
        made.builtinOptionsType, made.builtinOptions = (schema.BuiltinOptions.FullyConnectedOptions,
                                                        schema.FullyConnectedOptionsT())
        made.builtinOptions.fusedActivationFunction = activation
        return made

    largest = schema.OperatorT()
    largest.opcodeIndex, largest.inputs, largest.outputs = 1, [6, 5], [7]
    largest.builtinOptionsType, largest.builtinOptions = schema.BuiltinOptions.ArgMaxOptions, schema.ArgMaxOptionsT()
    largest.builtinOptions.outputType = kinds.INT64
    graph.operators = [layer([0, 1, 2], 8, schema.ActivationFunctionType.RELU),
                       layer([8, 3, 4], 6, schema.ActivationFunctionType.NONE), largest]
    graph.inputs, graph.outputs = [0], [7]
    model.subgraphs = [graph]
    builder = flatbuffers.Builder(1024)
    builder.Finish(model.Pack(builder), b"TFL3")
    return bytes(builder.Output())
