// Tiled: work that is cut into blocks which any thread may run: what product.h, attention.h and scan.h have in common.
#pragma once

#include <cstddef>
#include <cstdint>

#include "cpu/interpreter.h"

namespace dvm::cpu {

class Tiled {
 public:
  Tiled() = default;
  Tiled(const Tiled&) = delete;
  Tiled& operator=(const Tiled&) = delete;
  virtual ~Tiled() = default;

  /// Runs the blocks [first, end) on the calling thread.
  virtual void run(const Launch& launch, std::int64_t first, std::int64_t end) const = 0;
  /// What it is called, for people.
  virtual const char* name() const = 0;
  /// What it occupies in memory.
  virtual std::size_t bytes() const = 0;

  std::int64_t blocks() const { return blocks_; }
  /// As Routine::work counts.
  double work() const { return work_; }

 protected:
  std::int64_t blocks_ = 0;
  double work_ = 0;
};

/// Multiplications in the time of one unit of Routine::work.
inline constexpr double kProductsPerWork = 4;

}  // namespace dvm::cpu
