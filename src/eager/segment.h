// Segment: a trace that was run once, compiled: found again by what it computes and which of its values are wanted,
// whatever its sizes are.
#pragma once

#include <cstdint>
#include <memory>
#include <unordered_map>
#include <vector>

#include "eager/splice.h"
#include "runtime/executable.h"

namespace dvm::eager {

/// A value that must be in memory when the trace has run.
struct Wanted {
  int value = -1;
  Region region;
};

struct Segment {
  std::unique_ptr<Executable> executable;
  std::vector<int> inputs, symbols, numbers;  // see Spliced
  int steps = 0;
  double compile_us = 0;
};

/// The segments of the process. Used under one lock, Python's.
class Segments {
 public:
  /// Never destroyed.
  static Segments& process();
  /// The compiled trace, made if there is none like it.
  std::shared_ptr<const Segment> find(const Trace& trace, const std::vector<Wanted>& wanted);

 private:
  struct Hash {
    std::size_t operator()(const std::vector<std::uint64_t>& key) const;
  };
  std::unordered_map<std::vector<std::uint64_t>, std::shared_ptr<const Segment>, Hash> known_;
  std::vector<std::uint64_t> key_;
};

/// Runs a segment on the trace it was found for. In microseconds. Thread-safe.
double run(const Segment& segment, const Trace& trace, const std::vector<Wanted>& wanted);

/// The order of the axes of a layout without gaps, outermost first.
MemoryOrder order_of(const Layout& layout);

}  // namespace dvm::eager
