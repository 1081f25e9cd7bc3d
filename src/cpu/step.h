// A Step: one instruction bound to one shape of tile, ready to be run many times. It is what the interpreter and the
// kernels share, so it is plain data and laid out alike in the builds of all instruction sets.
#pragma once

#include <cstdint>

#include "cpu/matrix.h"
#include "isa/opcode.h"
#include "isa/product.h"
#include "isa/program.h"

namespace dvm::cpu {

struct Step;

/// Where the slots are at the moment, by slot number: addresses, and for index slots values.
using Data = const std::uintptr_t*;

/// Runs one instruction over one tile.
using Kernel = void (*)(const Step& step, Data data);

inline constexpr int kStepSlots = 1 + kMaxOperands;  // dst, a, b, c

struct Step {
  Kernel kernel = nullptr;
  // What `kernel` calls for pieces of the tile when it is one of the last three of KernelTable, else the same.
  Kernel contiguous = nullptr;
  // The tile as the kernel sees it: flat (outer == 1) whenever strides allow.
  std::int64_t outer = 1;
  std::int64_t inner = 1;
  std::uint16_t slots[kStepSlots] = {};
  std::uint8_t element_bytes[kStepSlots] = {};
  std::uint8_t operands = 0;
  bool starts = false;  // a reduction that sets its accumulators and does not join what is in them
  // Bytes per step of each dimension (index slots: value per step).
  std::int64_t outer_stride[kStepSlots] = {};
  std::int64_t inner_stride[kStepSlots] = {};
};

// What convolutions are made of besides products: see window.h.
struct WindowPanel;
struct WindowPlane;
struct PlaceTile;
struct ChannelTile;
struct WindowKernels {
  void (*panel)(const WindowPanel& panel) = nullptr;
  void (*plane)(const WindowPlane& plane) = nullptr;
  // Of tensors whose channels lie side by side: see place_windows.h.
  void (*places)(const PlaceTile& tile) = nullptr;
  void (*channels)(const ChannelTile& tile) = nullptr;
};

/// How many kernels an opcode may have: one per combination of broadcast operands.
inline constexpr int kVariants = 1 << kMaxOperands;
// Reductions have these instead.
inline constexpr int kFoldInner = 0;  // one result per outer position
inline constexpr int kFoldOuter = 1;  // one result per inner position
// And reductions of two operands these besides, for a second operand that does not move along the inner dimension.
inline constexpr int kFoldBroadcast = 2;

/// The kernels of one instruction set. Elementwise kernels take operands with unit inner stride, or 0 where the bit
/// of their variant is set; a missing variant is run by `expand`, which copies operands as needed. Memory kernels
/// take any strides.
struct KernelTable {
  Kernel kernels[kOpcodeCount][kVariants];
  Kernel expand;
  Kernel expand_reduction;
  MatrixKernels matrix[kProductCount];
  MatrixKernels scaled_bytes, scaled_halves;  // of f32 with weights of 8 and of 4 bits
  AttentionKernels attention;
  WindowKernels windows;
};

}  // namespace dvm::cpu
