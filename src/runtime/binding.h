// Binding: from the sizes of a call's inputs to the value of every dimension of the Graph.
#pragma once

#include <cstdint>
#include <span>
#include <string>
#include <vector>

#include "fuse/fuse.h"
#include "graph/graph.h"
#include "runtime/layout.h"

namespace dvm {

/// A tensor as the caller has it. Strides are in bytes.
struct TensorView {
  void* data = nullptr;
  Type type = Type::f32;
  int rank = 0;
  const std::int64_t* sizes = nullptr;
  const std::int64_t* strides = nullptr;
};

/// Symbols take their values from input sizes. A symbol that no input has is bound by the i64 scalar of the same
/// name, if the Graph declares one; such a scalar is part of the shapes of a call.
class Binding {
 public:
  /// Throws std::invalid_argument if a dimension that a plan needs follows from no input.
  Binding(const Graph& graph, const Fusion& fusion);

  /// The scalars, by number, that stand for dimensions.
  const std::vector<int>& symbol_scalars() const { return symbol_scalars_; }

  /// Throws std::invalid_argument naming the input and what was wanted of it.
  void check_types(std::span<const TensorView> inputs) const;
  DimValues bind(std::span<const TensorView> inputs, std::span<const std::uint64_t> scalars) const;

 private:
  // An expression that is known equal to a symbol or constant, which stands for it everywhere else.
  struct Equation {
    Dim representative;
    Dim expression;
  };

  std::int64_t evaluate(const DimValues& values, Dim expression) const;
  void settle(DimValues& values) const;
  void require(const DimValues& values, Dim dim, const std::string& where) const;
  [[noreturn]] void fail(const std::string& what) const;
  [[noreturn]] void contradiction(std::span<const TensorView> inputs, std::size_t input,
                                  std::size_t axis, std::int64_t known) const;

  const Graph* graph_;
  std::vector<Equation> equations_;
  std::vector<int> symbol_scalars_;
  std::vector<Dim> scalar_symbols_;  // what each of them binds
};

}  // namespace dvm
