// Graph: tensor operations in SSA form with symbolic dimensions. What frontends build, fuse/ cuts into Kernels
// and text.h prints and parses.
#pragma once

#include <cstdint>
#include <limits>
#include <optional>
#include <string>
#include <vector>

#include "isa/op.h"
#include "symbols/facts.h"

namespace dvm {

/// A value of a Graph: an index into its nodes.
using Value = std::int32_t;

enum class NodeKind : std::uint8_t {
  kInput,        // tensor argument
  kScalar,       // 0-d, a number that may change at every call without a new plan
  kConstant,     // 0-d, the number in `bits`
  kSize,         // 0-d, the value of `dim` as a number
  kIota,         // position along axes[0] of `shape`, i64
  kElementwise,  // `op`; operands of equal type, broadcast as NumPy does
  kCast,         // to `type`
  kReduce,       // `op` over `axes`; keepdims
  kPermute,      // axes[i] = the operand's axis that becomes axis i
  kExpand,       // broadcast to `shape`, aligned at the right
  kReshape,      // same elements in `shape`
  kSlice,        // every axes[1]-th element of axis axes[0], from `dim` on
  kGather,       // operand 0 at the indices that operand 1 holds for axis axes[0]
  kAttention,  // softmax(number * q k^T + mask) v over the last two axes of q, k, v and perhaps a mask: scoring()
  kMatmul,  // [..., m, k] times [..., k, n]; the axes before are broadcast. It exists in memory
  kConvolve,  // windows of operand 0 [n, c, ...] times operand 1; axes: see windows.h. It exists in memory
  kPool,    // `op` over each window of the operand; as kConvolve
  kScan,    // `op` over all elements up to each one along axes[0]. It exists in memory
  kConcat,  // operands one behind the other along axes[0]; they exist in memory, and so does it
};

struct Node {
  NodeKind kind;
  Op op = Op::kCount;     // kElementwise, kReduce, kPool, kScan
  Type type = Type::f32;  // of the value, storage types included
  std::vector<Value> operands = {};
  std::vector<Dim> shape = {};
  std::vector<int> axes = {};
  std::uint64_t bits =
      0;              // kConstant: the value, in the compute type of `type`; kAttention: scoring()
  double number = 0;  // kAttention: the scale
  Dim dim = -1;       // kSize, kSlice
  std::string name = {};  // inputs, scalars
  /// kInput: the caller brings the same tensor every time and seldom changes its elements.
  bool is_weight = false;
};

/// The order of an output's axes in memory, outermost first; empty means contiguous as indexed.
using MemoryOrder = std::vector<int>;

/// How the windows of a convolution move, one number per axis behind images and channels.
struct Windows {
  std::vector<int> stride;
  /// Zeros before the first and after the last element. Transposed: elements that are left out of the result there, and
  /// `after` may be negative, for more of them.
  std::vector<int> before, after;
  std::vector<int> dilation;
  std::vector<int> taps = {};  // of a pool; a convolution has its weight's
  /// Parts that channels are divided into; each part of the result sees one part of them.
  int groups = 1;
  /// Adds up what the forward convolution of the same numbers would have read: its gradient.
  bool transposed = false;
};

/// What becomes of the scores of an attention before their softmax.
struct Scoring {
  double scale = 1;     // they are multiplied by it
  bool causal = false;  // row i sees the columns up to i
  /// What a bool mask puts in the place of those where it is false.
  double hidden = -std::numeric_limits<double>::infinity();
  /// What a row gives of which every score is -inf: zeros, or NaN as the softmax of such a row.
  bool nan_if_blind = false;
};

/// What must hold in every call: a bool without dimensions, and what to say when it is false.
struct Check {
  Value condition;
  std::string message;
};

class Graph {
 public:
  explicit Graph(std::string name = "graph") : name_(std::move(name)) {}
  /// An empty Graph over the dimensions of another, of which the same is known.
  Graph(std::string name, Facts facts) : name_(std::move(name)), facts_(std::move(facts)) {}

  // Builders. Each infers the shape and throws std::invalid_argument "[op] what came, what was wanted".
  Value input(std::string name, Type type, std::vector<Dim> shape, bool is_weight = false);
  Value scalar(std::string name, Type type);
  Value constant(double value, Type type);
  Value constant(std::int64_t value, Type type);
  Value constant_bits(std::uint64_t bits, Type type);
  Value size(Dim dim, Type type);
  Value iota(std::vector<Dim> shape, int axis);
  Value elementwise(Op op, std::vector<Value> operands);
  Value cast(Value value, Type type);
  /// Reduces over `axes` (negative counts from the end; empty means all) and keeps them with size 1.
  Value reduce(Op op, Value value, std::vector<int> axes);
  Value permute(Value value, std::vector<int> axes);
  Value expand(Value value, std::vector<Dim> shape);
  Value reshape(Value value, std::vector<Dim> shape);
  /// `length` elements of `axis`, every `step`-th from `start` on. What leaves the tensor is an error of the call.
  Value slice(Value value, int axis, Dim start, Dim length, int step = 1);
  /// As NumPy's take_along_axis: of each place along `axis` the element at the index that `index` has there. All other
  /// axes broadcast; `index` is i64 and has as many. An index beyond the ends reads the nearest element: add a check.
  Value gather(Value value, Value index, int axis);
  /// States that `condition`, one bool, holds. A call for which it does not is an error with this message.
  void check(Value condition, std::string message);
  /// The matrix product of the last two axes of each, as NumPy's matmul of tensors with two axes or more. Types are
  /// those of isa/products.def; the result has that of the sums.
  Value matmul(Value a, Value b);
  /// The same with a right operand of 8 or 4 `bits` an element: i8 [..., k, n], or u8 [..., k / 2, n] of which each holds two
  /// elements along k, the first in its low half, from which 8 is taken. `scales` is f32 [..., groups, n]: an element stands
  /// for its integer times the scale of its group, of which each has k / groups along k. a is f32.
  Value matmul_scaled(Value a, Value b, Value scales, int bits);
  /// The rows of a [rows, k] times the matrix of their group in b [groups, k, n]. Group g has the rows from ends[g - 1] to
  /// ends[g], i32 or i64 [groups], which a call brings; an end that is less than the one before, or beyond the rows, counts
  /// as the nearest that is not. Rows behind the last end give zeros. Types are those of matmul().
  Value matmul_grouped(Value a, Value b, Value ends);
  /// softmax(scale * q k^T + mask) v for q [..., m, d], k [..., n, d], v [..., n, e] and a mask that broadcasts to [..., m, n];
  /// the axes before are broadcast. All are f32; k and v may be f16 or bf16, and the mask bool, which hides scores instead.
  /// `order` is that of the result's axes in memory.
  Value attention(Value q, Value k, Value v, std::optional<Value> mask, const Scoring& scoring,
                  MemoryOrder order = {});
  /// The convolution, as machine learning calls it, of x [n, c, ...] with one to three axes more and a weight
  /// [o, c / groups, ...]: [n, o, ...]. Transposed the weight is [c, o / groups, ...]. All are f32.
  Value convolve(Value x, Value weight, const Windows& windows);
  /// The largest element or the sum (`op`) of each window of x [n, c, ...], f32. Padding counts for nothing.
  Value pool(Op op, Value x, const Windows& windows);
  /// The sums or products (`op`) of the elements of x up to each one along `axis`: f32, f64, i32 or i64. Floats are
  /// gathered in double precision.
  Value scan(Op op, Value x, int axis);
  /// The operands one behind the other along `axis`; all other axes are equal.
  Value concat(std::vector<Value> operands, int axis);
  /// A node of another Graph over the same dimensions, whose operands have the numbers that they have here.
  Value copy(Node node);
  void output(Value value, MemoryOrder order = {});
  /// States what the caller knows of dimensions; a call whose sizes break it is refused. Throws when it contradicts
  /// what is known already.
  void fact(Fact fact);
  /// States an equality that the operation `where` implies. False when it cannot be.
  [[nodiscard]] bool equal(const char* where, Dim a, Dim b);

  const std::string& name() const { return name_; }
  const std::vector<Node>& nodes() const { return nodes_; }
  const Node& node(Value value) const { return nodes_[value]; }
  const std::vector<Value>& inputs() const { return inputs_; }
  const std::vector<Value>& scalars() const { return scalars_; }
  const std::vector<Value>& outputs() const { return outputs_; }
  const std::vector<MemoryOrder>& orders() const { return orders_; }
  const std::vector<Check>& checks() const { return checks_; }
  Dims& dims() { return facts_.dims(); }
  const Dims& dims() const { return facts_.dims(); }
  const Facts& facts() const { return facts_; }

 private:
  Value add(Node node);
  void require(Value value, const char* where) const;
  std::vector<Dim> product_shape(const std::vector<Dim>& x, const std::vector<Dim>& y);
  std::vector<Dim> broadcast(const char* where, const std::vector<Value>& operands);
  void equal_counts(const std::vector<Dim>& before, const std::vector<Dim>& after);

  std::string name_;
  Facts facts_;
  std::vector<Node> nodes_;
  std::vector<Value> inputs_, scalars_, outputs_;
  std::vector<MemoryOrder> orders_;
  std::vector<Check> checks_;
};

/// The row of isa/products.def of a matmul, and the bits of an element of its right operand if it has scales, else 0.
int product_of(const Graph& graph, const Node& matmul);
int bits_of(const Node& matmul);

/// Whether a matmul is of groups of rows: its third operand says where these end.
bool is_grouped(const Node& node);

/// Of an attention: what was given to its builder.
Scoring scoring(const Node& attention);
MemoryOrder order_of(const Node& attention);

}  // namespace dvm
