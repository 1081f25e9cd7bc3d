// Loops of the elementwise instructions: executors know memory, functors (semantics/) know arithmetic. A loop runs over
// a whole number of blocks, so that the compiler makes no scalar remainder of it.
//
// A destination may be exactly the place of an operand, never overlap it otherwise; `ivdep` tells the compiler so.
#pragma once

#include <cstring>
#include <type_traits>

#include "cpu/kernels/lanes.h"
#include "cpu/kernels/types.h"
#include "cpu/step.h"
#include "semantics/semantics.h"

namespace dvm::cpu {

// Elements per block for kernels over the types T...: enough for full vectors of the narrowest.
template <class... T>
inline constexpr std::int64_t kBlock =
    DVM_VECTOR_BYTES / static_cast<std::int64_t>(std::min({sizeof(T)...}));

// Guarded functors are checked and run a block of this many elements at a time.
inline constexpr std::int64_t kGuardBlock = 128;

// An operand in a loop: an array, or one value for all elements.
template <class T, bool kBroadcast>
struct Operand {
  const T* at;
  T operator[](std::int64_t i) const { return at[i]; }
  Operand from(std::int64_t i) const { return {at + i}; }
};
template <class T>
struct Operand<T, true> {
  T value;
  explicit Operand(const T* at) : value(*at) {}
  T operator[](std::int64_t) const { return value; }
  Operand from(std::int64_t) const { return *this; }
};

// The last block of a row of an operand. Of a row shorter than a block, the row filled up with its last value, which is
// as harmless as any.
template <class T, std::int64_t kCount, bool kBroadcast>
struct LastBlock {
  alignas(64) T values[kCount];
  const T* at;
  LastBlock(const Operand<T, false>& row, std::int64_t count) : at(row.at + count - kCount) {
    if (count >= kCount) return;
    load_padded<T, kCount>(values, row.at, count);
    at = values;
  }
  Operand<T, false> operand() const { return {at}; }
};
template <class T, std::int64_t kCount>
struct LastBlock<T, kCount, true> {
  Operand<T, true> value;
  LastBlock(const Operand<T, true>& row, std::int64_t) : value(row) {}
  Operand<T, true> operand() const { return value; }
};

template <class F, class R, std::int64_t kCount, class... Operands>
inline __attribute__((always_inline)) void whole_blocks(R* dst, std::int64_t count,
                                                        const Operands&... operands) {
  count &= -kCount;
#pragma GCC ivdep
  for (std::int64_t i = 0; i < count; ++i) dst[i] = F{}(operands[i]...);
}

// Plain functors. A row that is no whole number of blocks ends with a block that overlaps the one before it. It is
// computed first, while its operands are what they were, in case the destination is the place of one.
template <class F, class R, class... T, bool... kBroadcast>
inline __attribute__((always_inline)) void one_row(R* dst, std::int64_t count,
                                                   const Operand<T, kBroadcast>&... operands) {
  constexpr std::int64_t kCount = kBlock<R, T...>;
  if (count % kCount == 0) return whole_blocks<F, R, kCount>(dst, count, operands...);
  alignas(64) R results[kCount];
  [&](const LastBlock<T, kCount, kBroadcast>&... last) {
    whole_blocks<F, R, kCount>(results, kCount, last.operand()...);
  }(LastBlock<T, kCount, kBroadcast>(operands, count)...);
  if (count < kCount) return store_padded<R, kCount>(dst, results, count);
  whole_blocks<F, R, kCount>(dst, count, operands...);
  std::memcpy(dst + count - kCount, results, sizeof(results));
}

template <class F, class... Operands>
inline __attribute__((always_inline)) bool all_fast(std::int64_t count,
                                                    const Operands&... operands) {
  unsigned bad = 0;
  for (std::int64_t i = 0; i < count; ++i) bad |= F::fast(operands[i]...) ? 0u : 1u;
  return bad == 0;
}

template <class F, class R, class... Operands>
__attribute__((noinline)) void slow_row(R* dst, std::int64_t count, const Operands&... operands) {
  for (std::int64_t i = 0; i < count; ++i) dst[i] = F::slow(operands[i]...);
}

// Guarded functors, see semantics.h.
template <class F, class R, class... T, bool... kBroadcast>
inline void one_guarded_row(R* dst, std::int64_t count, const Operand<T, kBroadcast>&... operands) {
  const std::int64_t whole = count & -kGuardBlock;
  for (std::int64_t i = 0; i < whole; i += kGuardBlock) {
    if (all_fast<F>(kGuardBlock, operands.from(i)...)) {
      whole_blocks<F, R, kGuardBlock>(dst + i, kGuardBlock, operands.from(i)...);
    } else {
      slow_row<F>(dst + i, kGuardBlock, operands.from(i)...);
    }
  }
  const std::int64_t rest = count - whole;
  if (rest == 0) return;
  if (all_fast<F>(rest, operands.from(whole)...)) {
    one_row<F, R>(dst + whole, rest, operands.from(whole)...);
  } else {
    slow_row<F>(dst + whole, rest, operands.from(whole)...);
  }
}

template <class F, class R, class... T, bool... kBroadcast>
inline __attribute__((always_inline)) void row(R* dst, std::int64_t count,
                                               const Operand<T, kBroadcast>&... operands) {
  constexpr bool kGuarded = [] {
    if constexpr (sizeof...(T) < 3)
      return semantics::is_guarded<F, std::common_type_t<T...>, sizeof...(T)>;
    return false;
  }();
  if constexpr (kGuarded) {
    one_guarded_row<F, R>(dst, count, operands...);
  } else {
    one_row<F, R>(dst, count, operands...);
  }
}

template <class F, class R, class A>
void unary(const Step& step, Data data) {
  std::uintptr_t dst = data[step.slots[0]], a = data[step.slots[1]];
  for (std::int64_t i = 0; i < step.outer; ++i) {
    row<F, R>(reinterpret_cast<R*>(dst), step.inner,
              Operand<A, false>{reinterpret_cast<const A*>(a)});
    dst += static_cast<std::uintptr_t>(step.outer_stride[0]);
    a += static_cast<std::uintptr_t>(step.outer_stride[1]);
  }
}

template <class F, class R, class T, unsigned kVariant>
void binary(const Step& step, Data data) {
  std::uintptr_t dst = data[step.slots[0]], a = data[step.slots[1]], b = data[step.slots[2]];
  for (std::int64_t i = 0; i < step.outer; ++i) {
    row<F, R>(reinterpret_cast<R*>(dst), step.inner,
              Operand<T, (kVariant & 1) != 0>{reinterpret_cast<const T*>(a)},
              Operand<T, (kVariant & 2) != 0>{reinterpret_cast<const T*>(b)});
    dst += static_cast<std::uintptr_t>(step.outer_stride[0]);
    a += static_cast<std::uintptr_t>(step.outer_stride[1]);
    b += static_cast<std::uintptr_t>(step.outer_stride[2]);
  }
}

template <class F, class R, class A, class T, unsigned kVariant>
void ternary(const Step& step, Data data) {
  std::uintptr_t dst = data[step.slots[0]], a = data[step.slots[1]], b = data[step.slots[2]],
                 c = data[step.slots[3]];
  for (std::int64_t i = 0; i < step.outer; ++i) {
    row<F, R>(reinterpret_cast<R*>(dst), step.inner,
              Operand<A, (kVariant & 1) != 0>{reinterpret_cast<const A*>(a)},
              Operand<T, (kVariant & 2) != 0>{reinterpret_cast<const T*>(b)},
              Operand<T, (kVariant & 4) != 0>{reinterpret_cast<const T*>(c)});
    dst += static_cast<std::uintptr_t>(step.outer_stride[0]);
    a += static_cast<std::uintptr_t>(step.outer_stride[1]);
    b += static_cast<std::uintptr_t>(step.outer_stride[2]);
    c += static_cast<std::uintptr_t>(step.outer_stride[3]);
  }
}

constexpr bool is_conversion(Op op) { return info(op).result >= Result::kF32; }

// Costly binary instructions spend their time in arithmetic: for them `expand` is as good as loops of their own.
template <class F, Op op, Type type>
void install(KernelTable& table) {
  using T = CType<type>;
  using A = CType<operand_type(op, type, 0)>;
  using R = CType<result_type(op, type)>;
  Kernel* kernels = table.kernels[opcode(op, type)];
  if constexpr (info(op).arity == 1) {
    kernels[0] = unary<F, R, A>;
  } else if constexpr (info(op).arity == 2) {
    kernels[0] = binary<F, R, T, 0>;
    if constexpr ((info(op).properties & kCostly) == 0 || op == Op::exp_sub) {
      kernels[1] = binary<F, R, T, 1>;
      kernels[2] = binary<F, R, T, 2>;
    }
  } else {
    kernels[0] = ternary<F, R, A, T, 0>;
    kernels[1] = ternary<F, R, A, T, 1>;
    kernels[2] = ternary<F, R, A, T, 2>;
    kernels[3] = ternary<F, R, A, T, 3>;
    kernels[4] = ternary<F, R, A, T, 4>;
    kernels[5] = ternary<F, R, A, T, 5>;
    kernels[6] = ternary<F, R, A, T, 6>;
  }
}

/// Fills in the elementwise rows that have `arity` and are defined for `type`; conversions or all others.
template <Type type, int arity, bool conversions>
void install_rows(KernelTable& table) {
#define ELEMENTWISE(name, row_arity, set, result, properties, reference, doc)   \
  if constexpr (row_arity == arity && is_conversion(Op::name) == conversions && \
                contains(types::set, type)) {                                   \
    install<semantics::name, Op::name, type>(table);                            \
  }
#include "isa/elementwise.def"
}

}  // namespace dvm::cpu
