"""The compiled core of dvm: graphs, executables, programs."""

from collections.abc import Mapping, Sequence, Set
from typing import Any


class Program:
    """The bytecode of one kernel for one tuple of shapes."""

    @property
    def words(self) -> bytes:
        """The encoded form."""

    def disassemble(self) -> str:
        """The text form, which assemble() reads back."""

    @staticmethod
    def from_words(words: bytes) -> Program:
        """Verifies and decodes."""

    def run(self, args: Sequence[Any], scalars: Sequence[int | float | bool] = ()) -> None:
        """Runs on contiguous buffers, in the order of the arguments."""

    @property
    def stats(self) -> dict[str, Any]: ...

    def __eq__(self, other: object, /) -> bool: ...

    def __hash__(self) -> int: ...

    def __str__(self) -> str: ...

def assemble(text: str) -> Program:
    """Reads the text form of a program and verifies it."""

def verify(words: bytes) -> None:
    """Raises ValueError unless the words are a program that can do no harm."""

def instructions() -> list[dict[str, Any]]:
    """The instruction tables, a row each."""

def element_types() -> list[dict[str, Any]]:
    """The table of element types."""

def products() -> list[tuple[str, str, str]]:
    """
    The types of matrix products: of the left operand, of the right one, and of the result.
    """

def fingerprint() -> str:
    """A hash of the tables: programs made under others are refused."""

def isa() -> str:
    """The build of the kernels that runs."""

def isas() -> list[str]:
    """The builds that this CPU can run, best first."""

def threads() -> int:
    """How many threads a run from this thread may use."""

def set_threads(count: int | None) -> None:
    """Limits the threads of every run; None lifts the limit."""

def parallel_library() -> str:
    """The OpenMP library whose threads are used, empty for none."""

def parallel_reset() -> None:
    """Looks the OpenMP library up again."""

class Graph:
    """
    Tensor operations in SSA form. Values are ints; a dimension is an int or an expression over
    symbols: "n", "(n*12)", "((n+1)//2)".
    """

    def __init__(self, name: str = 'graph') -> None: ...

    def remake(self, value: int, operands: Sequence[int]) -> int:
        """Does what made `value` to other operands."""

    def needed(self, roots: Sequence[int], given: Set[int], operands: Mapping[int, Sequence[int]]) -> list[int]:
        """
        The values that make `roots`, operands first, from those that are `given`, which are among them. `operands` has
        the operands of those that are to be made of others than they were.
        """

    def copy(self, source: Graph, values: Sequence[int], places: Mapping[int, int], operands: Mapping[int, Sequence[int]]) -> list[int]:
        """
        Makes values of another Graph again in this one, operands first, and returns which they are here. `places` has
        those that are here already, `operands` the operands of those that are to be made of others than there.
        """

    def input(self, name: str, type: str, shape: Sequence[int | str], weight: bool = False) -> int:
        """
        A tensor argument. A weight is the same tensor in most calls, and seldom changes: products may read a packed
        copy of it, which is made anew when it does change.
        """

    def scalar(self, name: str, type: str) -> int:
        """
        A number that may change at every call without a new plan. An i64 scalar with the name of a symbol that
        no input's shape gives binds that symbol, and is then part of the shapes of a call.
        """

    def constant(self, value: float, type: str) -> int: ...

    def size(self, dim: int | str, type: str) -> int:
        """The value of a dimension, as a 0-d tensor."""

    def iota(self, shape: Sequence[int | str], axis: int) -> int:
        """The position along `axis`, as i64."""

    def elementwise(self, op: str, operands: Sequence[int]) -> int:
        """
        An instruction of the table on operands of equal types, which are broadcast.
        """

    def cast(self, value: int, type: str) -> int: ...

    def reduce(self, op: str, value: int, axes: Sequence[int] = ()) -> int:
        """
        Reduces over `axes`, all if there are none, and keeps them with size 1.
        """

    def permute(self, value: int, axes: Sequence[int]) -> int: ...

    def expand(self, value: int, shape: Sequence[int | str]) -> int: ...

    def reshape(self, value: int, shape: Sequence[int | str]) -> int: ...

    def slice(self, value: int, axis: int, start: int | str, length: int | str, step: int = 1) -> int:
        """`length` elements of `axis`, every `step`-th from `start` on."""

    def gather(self, value: int, index: int, axis: int) -> int:
        """
        As NumPy's take_along_axis, all other axes being broadcast. `index` is i64; one beyond the ends reads the
        nearest element: add a check.
        """

    def fact(self, kind: str, dim: int | str, *values: int | str | Sequence[int] | None, source: str = 'user') -> None:
        """
        States what is known of dimensions: ("equal", a, b), ("multiple", dim, k), ("range", dim, low, high),
        where None is no end, or ("likely", dim, values), a hint. Raises ValueError when it contradicts what is known;
        a call whose sizes break it raises ValueError naming the fact and the sizes.
        """

    @property
    def facts(self) -> list[dict[str, Any]]:
        """
        Kind, text and source of all that was stated of dimensions (`given`) or follows from operations.
        """

    def check(self, condition: int, message: str) -> None:
        """
        States that `condition`, one bool, holds. A call for which it does not raises IndexError with this message.
        """

    def attention(self, q: int, k: int, v: int, mask: int | None = None, *, scale: float, causal: bool = False, hidden: float = float('-inf'), nan_if_blind: bool = False, order: Sequence[int] = ()) -> int:
        """
        softmax(scale * q k^T + mask) v over the last two axes, those before them broadcast. All f32, or k and v f16 or bf16. A mask may be bool: where
        it is false a score becomes `hidden`. If `causal`, row i sees the columns up to i. A row of scores that are all -inf gives zeros, or NaN if
        `nan_if_blind`. `order` is that of the result's axes in memory, as for output().
        """

    def matmul(self, a: int, b: int) -> int:
        """
        The matrix product of the last two axes, the axes before them broadcast. isa/products.def has the types.
        """

    def matmul_grouped(self, a: int, b: int, ends: int) -> int:
        """
        The rows of a [rows, k] times the matrix of their group in b [groups, k, n]. Group g has the rows from ends[g - 1] to
        ends[g], i32 or i64 [groups]; an end that is less than the one before, or beyond the rows, counts as the
        nearest that is not. Rows behind the last end give zeros.
        """

    def matmul_scaled(self, a: int, b: int, scales: int, bits: int) -> int:
        """
        The product of a, f32, with integers of 8 or 4 bits times scales: b is i8 [..., k, n], or u8 [..., k / 2, n]
        that holds two elements along k, the first in the low half, from which 8 is taken; scales is f32
        [..., groups, n], and k / groups elements share one.
        """

    def convolve(self, x: int, weight: int, stride: Sequence[int] = (), padding: Sequence[int] = (), dilation: Sequence[int] = (), groups: int = 1, transposed: bool = False) -> int:
        """
        The convolution of x [n, c, ...], with one to three axes more, and a weight [o, c / groups, ...]; transposed
        the weight is [c, o / groups, ...]. All f32. `padding` has a number for each axis, or all those before and
        then all those after, where transposed convolutions take a negative one for more elements.
        """

    def pool(self, op: str, x: int, taps: Sequence[int], stride: Sequence[int] = (), padding: Sequence[int] = (), dilation: Sequence[int] = ()) -> int:
        """
        The "max" or "sum" of each window of `taps` elements of x [n, c, ...], f32. What is beyond the ends counts for nothing.
        """

    def scan(self, op: str, x: int, axis: int) -> int:
        """
        The "sum" or "prod" of the elements of x up to each one along `axis`: f32, f64, i32 or i64.
        """

    def concat(self, operands: Sequence[int], axis: int) -> int:
        """The operands one behind the other along `axis`."""

    def output(self, value: int, order: Sequence[int] = ()) -> None:
        """
        `order` lists the axes as they lie in memory, outermost first; none means contiguous.
        """

    def kind(self, value: int) -> str:
        """
        What made a value, as the method that did is called; a matmul_scaled is a matmul.
        """

    def operands(self, value: int) -> list[int]: ...

    def type(self, value: int) -> str: ...

    def shape(self, value: int) -> list[int | str]: ...

    def rank(self, value: int) -> int: ...

    def node(self, value: int) -> dict[str, Any]:
        """
        What a value is: kind, type, shape, operands, and what else belongs to its kind.
        """

    @staticmethod
    def parse(text: str) -> Graph:
        """Reads the text form, which str() gives."""

    def __str__(self) -> str: ...

    def __len__(self) -> int: ...

    @property
    def name(self) -> str: ...

    @property
    def inputs(self) -> list[int]: ...

    @property
    def weights(self) -> set[int]:
        """The inputs that are weights."""

    @property
    def scalars(self) -> list[int]: ...

    @property
    def outputs(self) -> list[int]: ...

def fuse(graph: Graph) -> dict[str, Any]:
    """
    How a graph is cut into kernels: the "graph" once its reshapes are stitched, "steps", a list of ("kernel", inputs, scalars, outputs, name),
    ("view", value) and ("concat", value), and "notes" on what was not fused.
    """

class Executable:
    """
    A graph, compiled once and run for any shapes. Called with its inputs and scalars
    in the order of their declaration; the results are tensors of the framework of the first input.
    Every result has memory of its own, also where it equals an input or is a view of one.
    """

    def __call__(self, *args: Any, out: Any = None) -> Any:
        """
        Takes the inputs and scalars in the order of their declaration. `out` is a tensor, or a tuple of
        them for several results, of the right type and shape and apart from all inputs.
        """

    def __init__(self, graph: Graph, cache_bytes: int = 67108864, like: type | None = None, speculate: bool = True) -> None:
        """
        `cache_bytes` bounds the plans kept, besides the bound of all Executables together: see set_plan_bytes(). `like` is the type of the results where no tensor comes in. With `speculate`
        calls in which sizes happen to be equal may run fewer kernels: see `guards` in explain().
        """

    def explain(self) -> dict[str, Any]:
        """
        The kernels of the version for all calls, the `guards` under which there are fewer, the `concats` with the operands that are copied into them, the steps in their order, why neighbours
        were not fused, and `stats`.
        """

    def programs(self, shapes: Sequence[Sequence[int]], scalars: Sequence[int] = ()) -> list[Program]:
        """
        The bytecode for contiguous inputs of these shapes. `scalars` matter where they stand for dimensions.
        """

    def plan(self, shapes: Sequence[Sequence[int]], scalars: Sequence[int] = ()) -> dict[str, Any]:
        """
        What a call with contiguous inputs of these shapes does: the kernel of each launch (-1 for a copy), how many
        launches each stage runs at once, and the bytes of the arena and of the plan itself.
        """

    def clear_cache(self) -> None:
        """Forgets all plans."""

    @property
    def stats(self) -> dict[str, Any]:
        """
        Plans kept and their bytes, hits, misses, evictions (also those for the sake of the process's bound), and
        the time the last plan took to make.
        """

    @property
    def graph(self) -> Graph: ...

def start_profile() -> None:
    """
    From now on notes the kernels that calls of this thread run, which then run one by one; see dvm.profile. Raises
    ValueError where a profile is on.
    """

def stop_profile() -> list[dict[str, Any]]:
    """
    Ends start_profile(): what each kernel of each call took, in the order in which they ran. Times are nanoseconds
    of the steady clock, which time.perf_counter_ns tells too; `bytes` are those read and written, once for each
    tensor; `number` is -1 for a copy.
    """

def plan_stats() -> dict[str, Any]:
    """
    The `executables` alive, the `plans` that they keep and their `bytes`, what `limit_bytes` allows, and all `hits`,
    `misses` and `evictions` since the process began; `arena_bytes`, what the calling thread keeps for intermediate results.
    """

def set_plan_bytes(bytes: int | None) -> None:
    """
    Bounds the plans of all Executables together; beyond it the ones used longest ago go. None: what the environment
    variable DVM_PLAN_BYTES says, else 64 MiB. Raises ValueError for a negative number.
    """

def packed_stats() -> dict[str, int]:
    """
    The `weights` that are kept packed, their `bytes` and the bound, how often one was `packed`, and how often a call was
    `refused` and read them as they lie.
    """

def set_packed_bytes(bytes: int | None) -> None:
    """
    Bounds the packed weights; calls that would need more read theirs as they lie. None: what the environment variable
    DVM_PACKED_BYTES says, else a quarter of the memory. Raises ValueError for a negative number.
    """

class KernelFunction:
    """
    A function with one Executable per class of arguments. Calls that fit none of them go
    to the method `_miss`, which a subclass has.
    """

    def __call__(self, *args: Any, out: Any = None, **named: Any) -> Any:
        """Runs the Executable of the class of these arguments, or calls `_miss`."""

    def __init__(self, name: str, parameters: Sequence[str], defaults: tuple[Any, ...] = ()) -> None: ...

    def register(self, executable: Executable, classes: list[Any], order: Sequence[int], tuple: bool) -> None:
        """
        From now on calls with arguments of `classes` run `executable`, whose argument i is
        parameter order[i]. A class is (type, which sizes are 1), "bool", "int" or "float".
        """

    def unregister(self, executable: Executable) -> None: ...

class Recorder:
    """Records the operations of an eager program; see dvm.torch.eager."""

    def __init__(self, helper: object, tensor: object, parameter: object, limit: int, least_elements: int) -> None: ...

    def call(self, function: object, args: tuple[Any, ...], kwargs: object | None, dispatched: bool) -> Any: ...

    def flush(self, why: str) -> None: ...

    def account(self) -> dict[str, Any]: ...

    @property
    def trusting(self) -> bool: ...

    @trusting.setter
    def trusting(self, arg: bool, /) -> None: ...
