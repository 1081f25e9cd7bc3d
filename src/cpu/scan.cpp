#include "cpu/scan.h"

#include <algorithm>
#include <stdexcept>
#include <type_traits>
#include <utility>

#include "cpu/held.h"
#include "semantics/arithmetic.h"

namespace dvm::cpu {
namespace {

// What an element costs, in units of Routine::work: it waits for the one before it.
constexpr double kWorkPerElement = 4;

// What comes before an element is gathered in this type: as in torch, in doubles for all floats.
template <class T>
using Gathered = std::conditional_t<std::is_floating_point_v<T>, double, T>;

// Neighbours along the lines are neighbours in memory.
template <class T, class F>
void contiguous(const ScanLines& s, Gathered<T> nothing) {
  Gathered<T> before[ScanLines::kMost];
  std::fill_n(before, s.beside.size, nothing);
  for (std::int64_t i = 0; i < s.along.size; ++i) {
    const T* const from = reinterpret_cast<const T*>(s.from + i * s.along.from);
    T* const to = reinterpret_cast<T*>(s.to + i * s.along.to);
    for (std::int64_t line = 0; line < s.beside.size; ++line) {
      before[line] = F{}(before[line], static_cast<Gathered<T>>(from[line]));
      to[line] = static_cast<T>(before[line]);
    }
  }
}

// kLines of them, whose sums are in registers.
template <class T, class F, int kLines>
void apart(const ScanLines& s, std::int64_t first, Gathered<T> nothing) {
  Gathered<T> before[kLines];
  std::fill_n(before, kLines, nothing);
  const std::byte* from = s.from + first * s.beside.from;
  std::byte* to = s.to + first * s.beside.to;
  for (std::int64_t i = 0; i < s.along.size; ++i, from += s.along.from, to += s.along.to) {
    for (int line = 0; line < kLines; ++line) {
      const T element = *reinterpret_cast<const T*>(from + line * s.beside.from);
      before[line] = F{}(before[line], static_cast<Gathered<T>>(element));
      *reinterpret_cast<T*>(to + line * s.beside.to) = static_cast<T>(before[line]);
    }
  }
}

template <class T, class F, int kNothing>
void loops(const ScanLines& s) {
  constexpr int kAtOnce = 4;
  constexpr auto kElement = static_cast<std::int64_t>(sizeof(T));
  if (s.beside.from == kElement && s.beside.to == kElement && s.beside.size > kAtOnce)
    return contiguous<T, F>(s, kNothing);
  std::int64_t line = 0;
  for (; line + kAtOnce <= s.beside.size; line += kAtOnce) apart<T, F, kAtOnce>(s, line, kNothing);
  for (; line < s.beside.size; ++line) apart<T, F, 1>(s, line, kNothing);
}

template <class T>
auto loops_of(Op op) {
  return op == Op::sum ? loops<T, semantics::add, 0> : loops<T, semantics::mul, 1>;
}

auto loops_of(Op op, Type type) {
  switch (type) {
    case Type::f32:
      return loops_of<float>(op);
    case Type::f64:
      return loops_of<double>(op);
    case Type::i32:
      return loops_of<std::int32_t>(op);
    case Type::i64:
      return loops_of<std::int64_t>(op);
    default:
      throw std::logic_error("[scan] a type that Graph::scan refuses");
  }
}

}  // namespace

Scan::Scan(Op op, Type type, ScanShape shape)
    : shape_(std::move(shape)), loops_(loops_of(op, type)) {
  const auto nearest = std::ranges::min_element(shape_.lines, {}, &ScanAxis::to);
  if (nearest != shape_.lines.end()) {
    beside_ = *nearest;
    shape_.lines.erase(nearest);
  }
  parts_ = (beside_.size + ScanLines::kMost - 1) / ScanLines::kMost;
  double lines = static_cast<double>(beside_.size);
  blocks_ = parts_;
  for (const ScanAxis& axis : shape_.lines) {
    blocks_ *= axis.size;
    lines *= static_cast<double>(axis.size);
  }
  work_ = kWorkPerElement * lines * static_cast<double>(shape_.along.size);
}

void Scan::run(const Launch& launch, std::int64_t first, std::int64_t end) const {
  for (std::int64_t n = first; n < end; ++n) {
    const std::int64_t line = n % parts_ * ScanLines::kMost;
    std::int64_t from = line * beside_.from, to = line * beside_.to;
    std::int64_t left = n / parts_;
    for (auto axis = shape_.lines.rbegin(); axis != shape_.lines.rend(); ++axis) {
      from += left % axis->size * axis->from;
      to += left % axis->size * axis->to;
      left /= axis->size;
    }
    ScanAxis beside = beside_;
    beside.size = std::min(ScanLines::kMost, beside_.size - line);
    loops_({static_cast<const std::byte*>(launch.arguments[0]) + from,
            static_cast<std::byte*>(launch.arguments[1]) + to, shape_.along, beside});
  }
}

std::size_t Scan::bytes() const { return sizeof(*this) + held_bytes(shape_.lines); }

}  // namespace dvm::cpu
