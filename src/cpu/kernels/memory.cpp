// load, store and iota.
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

}  // namespace

void install_memory(KernelTable& table) {
  for (std::size_t type = 0; type < kTypeCount; ++type) {
    table.kernels[opcode(Op::load, static_cast<Type>(type))][0] = load;
    table.kernels[opcode(Op::store, static_cast<Type>(type))][0] = load;
  }
  table.kernels[opcode(Op::iota, Type::i64)][0] = iota;
}

}  // namespace dvm::cpu
