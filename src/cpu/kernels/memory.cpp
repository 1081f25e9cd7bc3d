// load, store, iota and gather.
#include <algorithm>

#include "cpu/kernels/copy.h"
#include "cpu/kernels/install.h"

namespace dvm::cpu {
namespace {

void load(const Step& step, Data data) {
  copy({data[step.slots[0]], step.outer_stride[0], step.inner_stride[0]},
       {data[step.slots[1]], step.outer_stride[1], step.inner_stride[1]}, step.outer, step.inner,
       step.element_bytes[0]);
}

void iota(const Step& step, Data data) {
  for (std::int64_t i = 0; i < step.outer; ++i) {
    const std::uint64_t first =
        data[step.slots[1]] + static_cast<std::uint64_t>(i * step.outer_stride[1]);
    const std::uint64_t by = static_cast<std::uint64_t>(step.inner_stride[1]);
    const std::uintptr_t dst =
        data[step.slots[0]] + static_cast<std::uintptr_t>(i * step.outer_stride[0]);
    if (step.inner_stride[0] == sizeof(std::int64_t)) {
      auto* const out = reinterpret_cast<std::int64_t*>(dst);
      for (std::int64_t j = 0; j < step.inner; ++j) {
        out[j] = static_cast<std::int64_t>(first + static_cast<std::uint64_t>(j) * by);
      }
      continue;
    }
    for (std::int64_t j = 0; j < step.inner; ++j) {
      *reinterpret_cast<std::int64_t*>(dst +
                                       static_cast<std::uintptr_t>(j * step.inner_stride[0])) =
          static_cast<std::int64_t>(first + static_cast<std::uint64_t>(j) * by);
    }
  }
}

// Operand 3 of the step holds the stride and the extent of what is picked from. Indices are clamped, so that a program
// stays within its arguments whatever the data say; whoever makes the indices checks them.
template <class T>
void gather(const Step& step, Data data) {
  const std::int64_t stride = step.outer_stride[3], last = step.inner_stride[3] - 1;
  const auto offset_of = [&](std::int64_t index) {
    return static_cast<std::uintptr_t>(std::clamp<std::int64_t>(index, 0, last) * stride);
  };
  for (std::int64_t i = 0; i < step.outer; ++i) {
    const auto row = [&](int k) {
      return data[step.slots[k]] + static_cast<std::uintptr_t>(i * step.outer_stride[k]);
    };
    const auto at = [&](int k, std::int64_t j) {
      return row(k) + static_cast<std::uintptr_t>(j * step.inner_stride[k]);
    };
    if (step.inner_stride[2] == 0) {  // one index for the row
      const std::uintptr_t source = row(1) + offset_of(*reinterpret_cast<std::int64_t*>(row(2)));
      copy({row(0), 0, step.inner_stride[0]}, {source, 0, step.inner_stride[1]}, 1, step.inner,
           sizeof(T));
      continue;
    }
    for (std::int64_t j = 0; j < step.inner; ++j) {
      const std::int64_t index = *reinterpret_cast<const std::int64_t*>(at(2, j));
      *reinterpret_cast<T*>(at(0, j)) = *reinterpret_cast<const T*>(at(1, j) + offset_of(index));
    }
  }
}

Kernel gather_of(std::int64_t element_bytes) {
  switch (element_bytes) {
    case 1:
      return gather<std::uint8_t>;
    case 2:
      return gather<std::uint16_t>;
    case 4:
      return gather<std::uint32_t>;
    default:
      return gather<std::uint64_t>;
  }
}

}  // namespace

void install_memory(KernelTable& table) {
  for (std::size_t type = 0; type < kTypeCount; ++type) {
    table.kernels[opcode(Op::load, static_cast<Type>(type))][0] = load;
    table.kernels[opcode(Op::store, static_cast<Type>(type))][0] = load;
    table.kernels[opcode(Op::gather, static_cast<Type>(type))][0] =
        gather_of(bytes(static_cast<Type>(type)));
  }
  table.kernels[opcode(Op::iota, Type::i64)][0] = iota;
}

}  // namespace dvm::cpu
