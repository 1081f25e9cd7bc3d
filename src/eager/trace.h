// Trace: the operations that an eager program has issued and that nobody has needed yet, in their order, each as a
// Template and the values that it takes. Which memory values belong to is memory.h's to know; here they are numbers.
#pragma once

#include <cstdint>
#include <span>
#include <vector>

#include "eager/template.h"

namespace dvm::eager {

/// A tensor as it was when it was looked at: where it begins, and how its elements lie.
struct Region {
  char* data = nullptr;
  Type type = Type::f32;
  Layout layout;

  Region() = default;
  explicit Region(const TensorView& view);
  TensorView view() const { return {data, type, layout.rank, layout.sizes, layout.strides}; }
  /// The bytes between the first and the last element.
  const char* begin() const;
  const char* end() const;
};

/// Whether the bytes between first and last elements have any in common.
bool overlap(const Region& a, const Region& b);
/// The same elements in the same order. Strides of axes of size 1 mean nothing.
bool same(const Region& region, const TensorView& view);

/// How a value is seen: its elements under other sizes (`factors`), of these axes a part each, these in another order, and
/// broadcast.
struct View {
  int value = -1;
  std::vector<std::int64_t> factors = {};  // empty: the value's own sizes, and all of them
  std::vector<std::int64_t> starts = {}, lengths = {};  // of the parts, one for each factor
  std::vector<int> axes =
      {};  // for each axis of the view that of the value, or -1 where there is none
  std::vector<std::int64_t> sizes = {};  // of the view
};

struct TraceStep {
  const Template* made_by = nullptr;  // null for a view
  int view = -1;                      // in views()
  int first_operand = 0, first_number = 0, first_value = 0;
};

class Trace {
 public:
  /// The number of a tensor from outside.
  int external(const Region& region);
  /// The number of the first result of an operation.
  int record(const Template& made_by, std::span<const int> operands,
             std::span<const std::uint64_t> numbers);
  int view(View view);
  void clear();

  bool empty() const { return steps_.empty(); }
  int size() const { return static_cast<int>(steps_.size()); }
  const std::vector<Region>& externals() const { return externals_; }
  const std::vector<int>& external_values() const { return external_values_; }
  const std::vector<TraceStep>& steps() const { return steps_; }
  const std::vector<View>& views() const { return views_; }
  std::span<const int> operands(const TraceStep& step) const;
  const std::vector<std::uint64_t>& numbers() const { return numbers_; }
  int values() const { return values_; }

  /// Distinct sizes beside 1 are numbered in the order in which they come: their symbols.
  const std::vector<std::int64_t>& sizes() const { return sizes_; }
  /// -1 for 1.
  int symbol(std::int64_t size);

  /// What it computes of what, whatever the sizes, addresses and numbers are.
  const std::vector<std::uint64_t>& structure() const { return structure_; }

 private:
  std::vector<Region> externals_;
  std::vector<int> external_values_;
  std::vector<TraceStep> steps_;
  std::vector<int> operands_;
  std::vector<std::uint64_t> numbers_;
  std::vector<View> views_;
  std::vector<std::int64_t> sizes_;
  std::vector<std::uint64_t> structure_;
  int values_ = 0;
};

}  // namespace dvm::eager
