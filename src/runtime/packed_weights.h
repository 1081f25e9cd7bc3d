// PackedWeights: the weights of a process that products read packed (cpu/packing.h), each once however many Executables read
// it, and one bound for their bytes. They go with the last who holds them: python/weights.h, on behalf of a tensor.
#pragma once

#include <atomic>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <mutex>
#include <unordered_map>

#include "cpu/packing.h"

namespace dvm {

/// What a tensor held when it was packed. A tensor of the same address, version and fingerprint holds the same.
struct WeightState {
  const void* data = nullptr;
  std::int64_t version = 0;  // the framework's count of changes
  /// Of a few elements: most changes that no framework counts change it.
  std::uint64_t fingerprint = 0;

  bool operator==(const WeightState&) const = default;
};

/// What an operand takes once it is packed.
std::size_t packed_bytes(const cpu::PackForm& form);

/// A few elements of an operand, mixed.
std::uint64_t fingerprint(const cpu::PackForm& form, const void* data);

class PackedWeight {
 public:
  /// Packs, on all threads.
  PackedWeight(const cpu::PackForm& form, const WeightState& state);
  ~PackedWeight();
  PackedWeight(const PackedWeight&) = delete;
  PackedWeight& operator=(const PackedWeight&) = delete;

  const void* data() const { return memory_.get(); }
  const cpu::PackForm& form() const { return form_; }
  const WeightState& state() const { return state_; }

 private:
  struct Free {
    void operator()(void* memory) const;
  };
  cpu::PackForm form_;
  WeightState state_;
  std::unique_ptr<void, Free> memory_;
};

class PackedWeights {
 public:
  static PackedWeights& process();
  /// The bound unless it is set: the bytes in the environment variable DVM_PACKED_BYTES, else a quarter of the memory that
  /// the process may use.
  static std::size_t default_limit();

  /// The packed form of what lies at state.data, made now if nobody has it. Thread-safe.
  std::shared_ptr<const PackedWeight> get(const cpu::PackForm& form, const WeightState& state);
  /// Whether so many bytes more keep to the bound.
  bool has_room(std::size_t bytes) const { return bytes_ + bytes <= limit_; }

  void set_limit(std::size_t bytes) { limit_ = bytes; }
  std::size_t limit() const { return limit_; }
  std::size_t bytes() const { return bytes_; }
  std::size_t count() const { return count_; }
  /// How many were packed since the process began.
  std::size_t made() const { return made_; }

 private:
  friend class PackedWeight;
  void add(std::size_t bytes, bool gone);

  std::atomic<std::size_t> bytes_{0}, count_{0}, made_{0}, limit_{default_limit()};
  std::mutex mutex_;
  std::unordered_multimap<const void*, std::weak_ptr<const PackedWeight>> known_;
};

}  // namespace dvm
