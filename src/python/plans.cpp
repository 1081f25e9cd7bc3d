// What all Executables together keep between calls: plans and packed weights, how many bytes those may take, and the arena.
#include "python/plans.h"

#include <nanobind/stl/optional.h>

#include <cstdint>
#include <optional>
#include <stdexcept>
#include <string>

#include "python/module.h"
#include "python/weights.h"
#include "runtime/arena.h"

namespace nb = nanobind;

namespace dvm::python {
namespace {

using nanobind::literals::operator""_a;

nb::dict plan_stats() {
  const PlanBudget::Totals totals = PlanBudget::process().totals();
  nb::dict dict = plans_object(totals.plans);
  dict["executables"] = totals.caches;
  dict["arena_bytes"] = Arena::kept_bytes();
  return dict;
}

nb::dict packed_stats() {
  const PackedWeights& all = PackedWeights::process();
  nb::dict dict;
  dict["weights"] = all.count();
  dict["bytes"] = all.bytes();
  dict["limit_bytes"] = all.limit();
  dict["packed"] = all.made();
  dict["refused"] = Weights::process().refused();
  return dict;
}

std::size_t checked(const char* function, std::int64_t bytes) {
  if (bytes < 0) {
    throw std::invalid_argument("[" + std::string(function) + "] got " + std::to_string(bytes) +
                                ", wanted at least 0, or None");
  }
  return static_cast<std::size_t>(bytes);
}

void set_packed_bytes(std::optional<std::int64_t> bytes) {
  PackedWeights::process().set_limit(bytes ? checked("set_packed_bytes", *bytes)
                                           : PackedWeights::default_limit());
}

void set_plan_bytes(std::optional<std::int64_t> bytes) {
  PlanBudget::process().set_limit(bytes ? checked("set_plan_bytes", *bytes)
                                        : PlanBudget::default_limit());
}

}  // namespace

nb::dict plans_object(const CacheStatistics& plans) {
  nb::dict dict;
  dict["plans"] = plans.plans;
  dict["bytes"] = plans.bytes;
  dict["limit_bytes"] = plans.limit_bytes;
  dict["hits"] = plans.hits;
  dict["misses"] = plans.misses;
  dict["evictions"] = plans.evictions;
  return dict;
}

void bind_plans(nb::module_& module) {
  module.def("plan_stats", &plan_stats, nb::sig("def plan_stats() -> dict[str, typing.Any]"),
             "The `executables` alive, the `plans` that they keep and their `bytes`, what "
             "`limit_bytes` allows, and all `hits`,\n"
             "`misses` and `evictions` since the process began; `arena_bytes`, what the calling "
             "thread keeps for intermediate results.");
  module.def("set_plan_bytes", &set_plan_bytes, "bytes"_a.none(),
             "Bounds the plans of all Executables together; beyond it the ones used longest ago "
             "go. None: what the environment\n"
             "variable DVM_PLAN_BYTES says, else 64 MiB. Raises ValueError for a negative number.");
  module.def("packed_stats", &packed_stats, nb::sig("def packed_stats() -> dict[str, int]"),
             "The `weights` that are kept packed, their `bytes` and the bound, how often one was "
             "`packed`, and how often a call was\n"
             "`refused` and read them as they lie.");
  module.def(
      "set_packed_bytes", &set_packed_bytes, "bytes"_a.none(),
      "Bounds the packed weights; calls that would need more read theirs as they lie. None: "
      "what the environment variable\n"
      "DVM_PACKED_BYTES says, else a quarter of the memory. Raises ValueError for a negative "
      "number.");
}

}  // namespace dvm::python
