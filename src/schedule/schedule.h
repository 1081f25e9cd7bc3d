// The Schedule: from a Kernel and concrete shapes to Programs. Collapses axes, picks the tile, decides whether a
// reduced row stays resident, is streamed, or is split into parts joined by a later stage, and allots registers.
#pragma once

#include <cstdint>
#include <vector>

#include "fuse/kernel.h"
#include "isa/program.h"

namespace dvm {

/// How many elements a gather picks from, and how far apart they are in bytes.
struct Picked {
  std::int64_t extent = 0;
  std::int64_t stride = 0;
};

/// The shapes of one Kernel in one call: extents of its loop axes, and per input and output the byte stride along
/// every loop axis (0 where it does not move). `sizes` has the value of every kSize term, in order of the terms.
struct KernelShape {
  std::vector<std::int64_t> extents;
  std::vector<std::vector<std::int64_t>> input_strides;
  std::vector<std::vector<std::int64_t>> output_strides;
  std::vector<std::int64_t> sizes;
  std::vector<Picked> picked;  // per input; empty if nothing is picked
  /// Per output whether it is to lie where an input does, and so has no room for other values before its own; empty if
  /// none is.
  std::vector<char> overwrites;
};

/// Where a Program finds one of its tensor arguments.
struct Source {
  enum Kind : std::uint8_t { kInput, kOutput, kWorkspace } kind;
  std::int32_t index;   // kInput, kOutput: number within the Kernel
  std::int64_t offset;  // kWorkspace: bytes
  bool operator==(const Source&) const = default;
};

struct Stage {
  Program program;
  std::vector<Source> sources;  // one per Program argument
};

struct Scheduled {
  std::vector<Stage> stages;  // run one after the other
  std::int64_t workspace_bytes = 0;
};

/// Scalar argument i of every Program is scalar i of the Kernel.
Scheduled schedule(const Kernel& kernel, const KernelShape& shape);

}  // namespace dvm
