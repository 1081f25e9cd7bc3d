// Scan: of each element of a tensor the sum or product of all up to it along one axis. Lines run side by side and are
// shared out among threads; one line is the work of one thread, so that a result depends on the line alone. Each element
// waits for the one before it, so unlike the loops of kernels/ these are built once: wider vectors would wait for memory.
#pragma once

#include <cstdint>
#include <vector>

#include "cpu/tiled.h"
#include "isa/op.h"

namespace dvm::cpu {

/// An axis of the operand and the result, with byte strides.
struct ScanAxis {
  std::int64_t size = 1, from = 0, to = 0;
};

struct ScanShape {
  ScanAxis along;
  std::vector<ScanAxis> lines;  // all other axes that have more than one element
};

/// Lines side by side, at most kMost of them.
struct ScanLines {
  const std::byte* from = nullptr;
  std::byte* to = nullptr;
  ScanAxis along, beside;

  static constexpr std::int64_t kMost = 64;
};

class Scan final : public Tiled {
 public:
  /// `op` is sum or prod, `type` f32, f64, i32 or i64; no axis is empty.
  Scan(Op op, Type type, ScanShape shape);

  /// Blocks are lines that lie side by side. Arguments of the launch: the operand and the result.
  void run(const Launch& launch, std::int64_t first, std::int64_t end) const override;
  const char* name() const override { return "scan"; }
  std::size_t bytes() const override;

 private:
  ScanShape shape_;
  ScanAxis beside_;  // the axis along which the lines of a block follow each other
  void (*loops_)(const ScanLines& lines) = nullptr;
  std::int64_t parts_ = 1;  // blocks along it
};

}  // namespace dvm::cpu
