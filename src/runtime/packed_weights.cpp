#include "runtime/packed_weights.h"

#include <unistd.h>

#include <algorithm>
#include <cstdlib>
#include <cstring>
#include <fstream>
#include <new>

#include "cpu/dispatch.h"
#include "cpu/parallel.h"
#include "isa/product.h"
#include "runtime/environment.h"
#include "runtime/huge_pages.h"

namespace dvm {
namespace {

constexpr std::size_t kHugePage = std::size_t{2} << 20;

// What the machine has, or the control group allows.
std::size_t available_memory() {
  auto available = static_cast<std::size_t>(sysconf(_SC_PHYS_PAGES)) *
                   static_cast<std::size_t>(sysconf(_SC_PAGESIZE));
  std::size_t allowed = 0;
  if (std::ifstream file("/sys/fs/cgroup/memory.max"); file >> allowed)  // else it says "max"
    available = std::min(available, allowed);
  return available;
}

struct Packing {
  const cpu::PackForm& form;
  const void* from;
  void* to;
};

void pack_share(void* context, int thread, int count) {
  const auto& [form, from, to] = *static_cast<const Packing*>(context);
  const cpu::KernelTable& kernels = *cpu::isa().kernels;
  const std::int64_t panels =
      cpu::packed_bytes(form, kernels) / cpu::panel_bytes(form.types, form.k, kernels);
  cpu::pack(form, kernels, from, to, panels * thread / count, panels * (thread + 1) / count);
}

}  // namespace

std::size_t packed_bytes(const cpu::PackForm& form) {
  return static_cast<std::size_t>(cpu::packed_bytes(form, *cpu::isa().kernels));
}

std::uint64_t fingerprint(const cpu::PackForm& form, const void* data) {
  constexpr std::int64_t kLooks = 8;
  const auto bytes = static_cast<std::size_t>(dvm::bytes(kProducts[form.types].b));
  std::uint64_t mixed = 0;
  for (std::int64_t look = 0; look < kLooks; ++look) {
    const std::int64_t row = (2 * look + 1) * form.k / (2 * kLooks);
    const std::int64_t col = (5 * look + 2) % kLooks * form.n / kLooks;
    std::uint64_t element = 0;
    std::memcpy(&element,
                static_cast<const std::byte*>(data) + form.row_offset(row) + col * form.n_stride,
                bytes);
    mixed = (mixed ^ element) * 0x9e3779b97f4a7c15ULL;
    mixed ^= mixed >> 29;
  }
  return mixed;
}

PackedWeight::PackedWeight(const cpu::PackForm& form, const WeightState& state)
    : form_(form), state_(state) {
  const std::size_t bytes = packed_bytes(form);
  memory_.reset(std::aligned_alloc(bytes < kHugePage ? 64 : kHugePage, (bytes + 63) / 64 * 64));
  if (memory_ == nullptr) throw std::bad_alloc();
  prefer_huge_pages(memory_.get(), static_cast<std::int64_t>(bytes), kHugePage);
  Packing packing{form, state.data, memory_.get()};
  cpu::parallel(cpu::threads(), &pack_share, &packing);
  PackedWeights::process().add(bytes, false);
}

PackedWeight::~PackedWeight() { PackedWeights::process().add(packed_bytes(form_), true); }

void PackedWeight::Free::operator()(void* memory) const { std::free(memory); }

std::size_t PackedWeights::default_limit() {
  return bytes_in_environment("DVM_PACKED_BYTES", available_memory() / 4);
}

PackedWeights& PackedWeights::process() {
  static PackedWeights* const weights = new PackedWeights;  // tensors may outlive static objects
  return *weights;
}

void PackedWeights::add(std::size_t bytes, bool gone) {
  bytes_ += gone ? -bytes : bytes;
  count_ += gone ? std::size_t{0} - 1 : 1;
  made_ += gone ? 0 : 1;
}

std::shared_ptr<const PackedWeight> PackedWeights::get(const cpu::PackForm& form,
                                                       const WeightState& state) {
  const std::lock_guard lock(mutex_);
  for (auto [at, end] = known_.equal_range(state.data); at != end;) {
    const auto weight = at->second.lock();
    if (weight != nullptr && weight->form() == form && weight->state() == state) return weight;
    at = weight == nullptr ? known_.erase(at) : std::next(at);
  }
  auto made = std::make_shared<const PackedWeight>(form, state);
  known_.emplace(state.data, made);
  return made;
}

}  // namespace dvm
