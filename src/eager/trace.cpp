#include "eager/trace.h"

#include <algorithm>

namespace dvm::eager {
namespace {

// Words of a structure begin with what they tell of.
enum Word : std::uint64_t { kExternal = 1, kStep, kView };

std::uint64_t word(Word kind, std::uint64_t detail) { return kind | detail << 8; }

}  // namespace

Region::Region(const TensorView& view) : data(static_cast<char*>(view.data)), type(view.type) {
  layout.rank = view.rank;
  std::copy_n(view.sizes, view.rank, layout.sizes);
  std::copy_n(view.strides, view.rank, layout.strides);
}

const char* Region::begin() const {
  const char* begin = data;
  for (int i = 0; i < layout.rank; ++i) {
    if (layout.strides[i] < 0) begin += (layout.sizes[i] - 1) * layout.strides[i];
  }
  return begin;
}

const char* Region::end() const {
  const char* end = data + bytes(type);
  for (int i = 0; i < layout.rank; ++i) {
    if (layout.sizes[i] == 0) return begin();
    if (layout.strides[i] > 0) end += (layout.sizes[i] - 1) * layout.strides[i];
  }
  return end;
}

bool overlap(const Region& a, const Region& b) {
  return a.begin() < b.end() && b.begin() < a.end();
}

bool same(const Region& region, const TensorView& view) {
  if (region.data != view.data || region.type != view.type || region.layout.rank != view.rank)
    return false;
  for (int i = 0; i < view.rank; ++i) {
    if (region.layout.sizes[i] != view.sizes[i]) return false;
    if (view.sizes[i] != 1 && region.layout.strides[i] != view.strides[i]) return false;
  }
  return true;
}

int Trace::symbol(std::int64_t size) {
  if (size == 1) return -1;
  const auto known = std::ranges::find(sizes_, size);
  if (known == sizes_.end()) {
    sizes_.push_back(size);
    return static_cast<int>(sizes_.size()) - 1;
  }
  return static_cast<int>(known - sizes_.begin());
}

int Trace::external(const Region& region) {
  const TensorView view = region.view();
  for (std::size_t i = 0; i < externals_.size(); ++i) {
    if (same(externals_[i], view)) return external_values_[i];
  }
  externals_.push_back(region);
  external_values_.push_back(values_);
  structure_.push_back(word(kExternal, static_cast<std::uint64_t>(region.type) << 8 |
                                           static_cast<std::uint64_t>(region.layout.rank)));
  for (int i = 0; i < region.layout.rank; ++i)
    structure_.push_back(static_cast<std::uint64_t>(symbol(region.layout.sizes[i])));
  return values_++;
}

int Trace::record(const Template& made_by, std::span<const int> operands,
                  std::span<const std::uint64_t> numbers) {
  steps_.push_back({&made_by, -1, static_cast<int>(operands_.size()),
                    static_cast<int>(numbers_.size()), values_});
  operands_.insert(operands_.end(), operands.begin(), operands.end());
  numbers_.insert(numbers_.end(), numbers.begin(), numbers.end());
  structure_.push_back(word(kStep, operands.size()));
  structure_.push_back(reinterpret_cast<std::uintptr_t>(&made_by));
  for (const int operand : operands) structure_.push_back(static_cast<std::uint64_t>(operand));
  const int first = values_;
  values_ += made_by.results();
  return first;
}

int Trace::view(View view) {
  steps_.push_back({nullptr, static_cast<int>(views_.size()), static_cast<int>(operands_.size()),
                    static_cast<int>(numbers_.size()), values_});
  structure_.push_back(word(kView, view.axes.size() << 8 | view.factors.size()));
  structure_.push_back(static_cast<std::uint64_t>(view.value));
  for (const int axis : view.axes) structure_.push_back(static_cast<std::uint64_t>(axis));
  for (const auto* numbers : {&view.factors, &view.lengths, &view.sizes}) {
    for (const std::int64_t size : *numbers)
      structure_.push_back(static_cast<std::uint64_t>(symbol(size)));
  }
  // Where a part begins is a size as others, but for the beginning of all.
  for (const std::int64_t start : view.starts)
    structure_.push_back(start == 0 ? ~std::uint64_t{1}
                                    : static_cast<std::uint64_t>(symbol(start)));
  views_.push_back(std::move(view));
  return values_++;
}

std::span<const int> Trace::operands(const TraceStep& step) const {
  return {operands_.data() + step.first_operand, step.made_by->graph().inputs().size()};
}

void Trace::clear() {
  externals_.clear();
  external_values_.clear();
  steps_.clear();
  operands_.clear();
  numbers_.clear();
  views_.clear();
  sizes_.clear();
  structure_.clear();
  values_ = 0;
}

}  // namespace dvm::eager
