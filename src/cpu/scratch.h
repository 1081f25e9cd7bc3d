// Scratch: memory of a thread, kept between launches and only ever grown.
#pragma once

#include <cstddef>
#include <cstdint>
#include <cstdlib>
#include <memory>
#include <new>

namespace dvm::cpu {

class Scratch {
 public:
  /// At least `bytes` bytes, aligned to a cache line. What was there is lost.
  std::uintptr_t get(std::size_t bytes) {
    if (bytes > bytes_) {
      memory_.reset();
      bytes_ = 0;
      const std::size_t rounded = (bytes + kAlignment - 1) / kAlignment * kAlignment;
      memory_.reset(std::aligned_alloc(kAlignment, rounded));
      if (memory_ == nullptr) throw std::bad_alloc();
      bytes_ = rounded;
    }
    return reinterpret_cast<std::uintptr_t>(memory_.get());
  }

 private:
  static constexpr std::size_t kAlignment = 64;
  struct Free {
    void operator()(void* memory) const { std::free(memory); }
  };
  std::unique_ptr<void, Free> memory_;
  std::size_t bytes_ = 0;
};

}  // namespace dvm::cpu
