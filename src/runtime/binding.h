// Binding: from the sizes of a call's inputs to the value of every dimension of the Graph.
#pragma once

#include <cstdint>
#include <span>
#include <string>
#include <vector>

#include "fuse/fuse.h"
#include "graph/graph.h"
#include "runtime/layout.h"
#include "symbols/dim_values.h"

namespace dvm {

/// A tensor as the caller has it. Strides are in bytes.
struct TensorView {
  void* data = nullptr;
  Type type = Type::f32;
  int rank = 0;
  const std::int64_t* sizes = nullptr;
  const std::int64_t* strides = nullptr;
};

/// Symbols take their values from input sizes, also from a size that is an expression with one unknown symbol in it:
/// 2*s gives s. A symbol that no input tells is bound by the i64 scalar of the same name, if the Graph declares
/// one; such a scalar is part of the shapes of a call.
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
  // One dimension of an input, in the order in which they are looked at.
  struct Source {
    int input, axis;
    Dim dim;        // its representative
    Dim solve_for;  // the only part of it that is not known before, or -1
    std::int64_t factor = 0;
  };

  void order_sources(DimValues& values);
  void find_symbol_scalars(DimValues& values);
  void rehearse(DimValues& values, const Source& source) const;
  bool take(DimValues& values, const Source& source, std::int64_t size) const;
  Source solvable(const DimValues& values, Source source) const;
  void bind_scalars(DimValues& values, std::span<const std::uint64_t> scalars) const;
  void settle(DimValues& values) const;
  void check_equations(const DimValues& values) const;
  void check_facts(const DimValues& values, std::span<const TensorView> inputs) const;
  void require(const DimValues& values, Dim dim, const std::string& where) const;
  std::string symbols_of(Dim dim, std::span<const TensorView> inputs) const;
  [[noreturn]] void fail(const std::string& what) const;
  [[noreturn]] void contradiction(std::span<const TensorView> inputs, const Source& source,
                                  std::int64_t known) const;

  const Graph* graph_;
  std::vector<Source> sources_;      // symbols and constants
  std::vector<Source> expressions_;  // what is left, each after what it needs
  std::vector<int> symbol_scalars_;
  std::vector<Source> scalar_sources_;  // what each of them binds
};

}  // namespace dvm
