#include "cpu/dispatch.h"

#include <atomic>
#include <cstdlib>
#include <iterator>
#include <stdexcept>
#include <string>

extern "C" {
const void* kernel_table_avx512();
const void* kernel_table_avx2();
const void* kernel_table_portable();
}

namespace dvm::cpu {
namespace {

bool has_avx2() {
  return __builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma") &&
         __builtin_cpu_supports("bmi2") && __builtin_cpu_supports("f16c");
}

bool has_avx512() {
  return has_avx2() && __builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512bw") &&
         __builtin_cpu_supports("avx512dq") && __builtin_cpu_supports("avx512vl") &&
         __builtin_cpu_supports("avx512cd");
}

bool has_portable() { return true; }

struct Build {
  std::string_view name;
  bool (*supported)();
  const void* (*table)();
};

constexpr Build kBuilds[] = {
    {"avx512", has_avx512, kernel_table_avx512},
    {"avx2", has_avx2, kernel_table_avx2},
    {"portable", has_portable, kernel_table_portable},
};
constexpr std::size_t kBuildCount = sizeof(kBuilds) / sizeof(kBuilds[0]);

template <std::size_t kBuild>
const Isa& made() {
  static const Isa isa{kBuilds[kBuild].name,
                       static_cast<const KernelTable*>(kBuilds[kBuild].table())};
  return isa;
}
constexpr const Isa& (*kMade[])() = {made<0>, made<1>, made<2>};
static_assert(std::size(kMade) == kBuildCount);

const Isa& find(std::string_view name) {
  for (std::size_t i = 0; i < kBuildCount; ++i) {
    if (kBuilds[i].name != name) continue;
    if (!kBuilds[i].supported()) {
      throw std::invalid_argument("[DVM_ISA] " + std::string(name) +
                                  " is not supported by this CPU");
    }
    return kMade[i]();
  }
  throw std::invalid_argument("[DVM_ISA] got " + std::string(name) +
                              ", wanted avx512, avx2 or portable");
}

std::atomic<const Isa*> chosen{nullptr};

}  // namespace

const Isa& isa() {
  const Isa* now = chosen.load(std::memory_order_acquire);
  if (now == nullptr) {
    const char* const name = std::getenv("DVM_ISA");
    now =
        &find(name != nullptr && *name != '\0' ? std::string_view(name) : available_isas().front());
    chosen.store(now, std::memory_order_release);
  }
  return *now;
}

std::vector<std::string_view> available_isas() {
  std::vector<std::string_view> names;
  for (const Build& build : kBuilds) {
    if (build.supported()) names.push_back(build.name);
  }
  return names;
}

void choose_isa(std::string_view name) { chosen.store(&find(name), std::memory_order_release); }

}  // namespace dvm::cpu
