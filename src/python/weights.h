// Weights: the packed forms of the tensors that calls bring as weights, by Python object. A tensor that was changed or got
// other memory is packed anew, and what was packed goes with the tensor. All of it under the GIL.
#pragma once

#include <cstdint>
#include <memory>
#include <span>
#include <unordered_map>
#include <vector>

#include "python/exchange.h"
#include "runtime/packed_weights.h"

namespace dvm::python {

class Weights {
 public:
  static Weights& process();

  /// What `plan` reads packed, held by who keeps the result. False when it may not be packed, and a plan that packs nothing
  /// is wanted: there is no room, or nobody would tell that a tensor has changed.
  bool get(const LaunchPlan& plan, std::span<const Borrowed* const> inputs,
           std::span<std::shared_ptr<const PackedWeight>> held);

  /// How often get() returned false.
  std::uint64_t refused() const { return refused_; }

 private:
  // One form of a tensor, from one of its bytes on.
  struct Part {
    std::int64_t offset;
    std::shared_ptr<const PackedWeight> weight;
  };
  using Parts = std::vector<Part>;

  static Part* find(Parts& parts, const PackedInput& input);
  bool has_room(const LaunchPlan& plan, std::span<const Borrowed* const> inputs);
  Parts* parts_of(PyObject* tensor);
  bool refuse() {
    ++refused_;
    return false;
  }

  std::unordered_map<PyObject*, Parts> parts_;  // of tensors that live
  std::uint64_t refused_ = 0;
};

}  // namespace dvm::python
