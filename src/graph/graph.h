// Graph: tensor operations in SSA form with symbolic dimensions. What frontends build, fuse/ cuts into Kernels
// and text.h prints and parses.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "isa/op.h"
#include "symbols/dim.h"

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
  kCall,         // what the core lacks, done by the frontend; results are kResult nodes
  kResult,       // result number axes[0] of a call
};

struct Node {
  NodeKind kind;
  Op op = Op::kCount;     // kElementwise, kReduce
  Type type = Type::f32;  // of the value, storage types included
  std::vector<Value> operands = {};
  std::vector<Dim> shape = {};
  std::vector<int> axes = {};
  std::uint64_t bits = 0;  // kConstant: the value, in the compute type of `type`
  Dim dim = -1;            // kSize
  std::string name = {};   // inputs, scalars, calls
};

/// The order of an output's axes in memory, outermost first; empty means contiguous as indexed.
using MemoryOrder = std::vector<int>;

class Graph {
 public:
  explicit Graph(std::string name = "graph") : name_(std::move(name)) {}

  // Builders. Each infers the shape and throws std::invalid_argument "[op] what came, what was wanted".
  Value input(std::string name, Type type, std::vector<Dim> shape);
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
  Value call(std::string name, std::vector<Value> operands);
  Value result(Value call, int number, Type type, std::vector<Dim> shape);
  void output(Value value, MemoryOrder order = {});

  const std::string& name() const { return name_; }
  const std::vector<Node>& nodes() const { return nodes_; }
  const Node& node(Value value) const { return nodes_[value]; }
  const std::vector<Value>& inputs() const { return inputs_; }
  const std::vector<Value>& scalars() const { return scalars_; }
  const std::vector<Value>& outputs() const { return outputs_; }
  const std::vector<MemoryOrder>& orders() const { return orders_; }
  Dims& dims() { return dims_; }
  const Dims& dims() const { return dims_; }

 private:
  Value add(Node node);
  void check(Value value, const char* where) const;
  std::vector<Dim> broadcast(const char* where, const std::vector<Value>& operands);

  std::string name_;
  Dims dims_;
  std::vector<Node> nodes_;
  std::vector<Value> inputs_, scalars_, outputs_;
  std::vector<MemoryOrder> orders_;
};

}  // namespace dvm
