// Runs a kernel that wants contiguous operands on operands that are not: copies pieces of them into buffers, runs the
// kernel there and copies the result back. Used for rare combinations of broadcasts, so that they need no loops of
// their own, and for tiles of very short rows, where it joins many rows into one piece.
#include <algorithm>
#include <cstring>

#include "cpu/kernels/copy.h"
#include "cpu/kernels/install.h"
#include "cpu/kernels/lanes.h"

namespace dvm::cpu {
namespace {

constexpr std::int64_t kPiece = 1024;  // elements
constexpr std::int64_t kWidest = 8;    // bytes

struct alignas(64) Buffer {
  unsigned char bytes[kPiece * kWidest];
};

std::uintptr_t address(const Buffer& buffer) {
  return reinterpret_cast<std::uintptr_t>(buffer.bytes);
}

bool is_contiguous(const Step& step, int k, std::int64_t outer) {
  return (step.inner <= 1 || step.inner_stride[k] == step.element_bytes[k]) &&
         (outer <= 1 || step.outer_stride[k] == step.inner * step.element_bytes[k]);
}

std::uintptr_t at(const Step& step, Data data, int k, std::int64_t outer, std::int64_t inner) {
  return data[step.slots[k]] +
         static_cast<std::uintptr_t>(outer * step.outer_stride[k] + inner * step.inner_stride[k]);
}

// Runs `outer x inner` elements from position (i, j).
class Piece {
 public:
  explicit Piece(const Step& step) : step_(step), flat_(step) {
    for (int k = 0; k < kStepSlots; ++k) flat_.slots[k] = static_cast<std::uint16_t>(k);
    flat_.outer = 1;
  }

  void run(Data data, std::int64_t i, std::int64_t j, std::int64_t outer, std::int64_t inner) {
    std::uintptr_t places[kStepSlots] = {};
    for (int k = 1; k <= step_.operands; ++k) {
      places[k] = at(step_, data, k, i, j);
      if (is_contiguous(step_, k, outer)) continue;
      // Operands that every piece finds the same are copied once.
      const bool same =
          step_.outer_stride[k] == 0 && (step_.inner_stride[k] == 0 || inner == step_.inner);
      if (!same || filled_[k] < outer * inner) {
        copy({address(buffers_[k]), inner * step_.element_bytes[k], step_.element_bytes[k]},
             {places[k], step_.outer_stride[k], step_.inner_stride[k]}, outer, inner,
             step_.element_bytes[k]);
        filled_[k] = same ? outer * inner : 0;
      }
      places[k] = address(buffers_[k]);
    }
    const bool direct = is_contiguous(step_, 0, outer);
    places[0] = direct ? at(step_, data, 0, i, j) : address(buffers_[0]);
    flat_.inner = outer * inner;
    step_.contiguous(flat_, places);
    if (direct) return;
    copy({at(step_, data, 0, i, j), step_.outer_stride[0], step_.inner_stride[0]},
         {places[0], inner * step_.element_bytes[0], step_.element_bytes[0]}, outer, inner,
         step_.element_bytes[0]);
  }

 private:
  const Step& step_;
  Step flat_;
  std::int64_t filled_[kStepSlots] = {};
  Buffer buffers_[kStepSlots];
};

void expand(const Step& step, Data data) {
  Piece piece(step);
  if (step.inner >= kPiece) {
    for (std::int64_t i = 0; i < step.outer; ++i) {
      for (std::int64_t j = 0; j < step.inner; j += kPiece) {
        piece.run(data, i, j, 1, std::min(kPiece, step.inner - j));
      }
    }
    return;
  }
  const std::int64_t rows = step.inner == 0 ? step.outer : kPiece / step.inner;
  for (std::int64_t i = 0; i < step.outer; i += rows) {
    piece.run(data, i, 0, std::min(rows, step.outer - i), step.inner);
  }
}

// Reductions of operands without unit inner stride: gathers them, a piece at a time, and folds the pieces. The index
// slot of argmax starts where the piece does.
void expand_reduction(const Step& step, Data data) {
  Buffer buffer, second;
  const bool copies_second = step.operands == 2 && step.inner_stride[2] != 0;
  Step part = step;
  for (int k = 0; k < kStepSlots; ++k) part.slots[k] = static_cast<std::uint16_t>(k);
  part.outer = 1;
  part.inner_stride[1] = step.element_bytes[1];
  if (copies_second) part.inner_stride[2] = step.element_bytes[2];
  for (std::int64_t i = 0; i < step.outer; ++i) {
    for (std::int64_t j = 0; j == 0 || j < step.inner; j += kPiece) {
      part.inner = std::min(kPiece, step.inner - j);
      // Only the first piece that meets an accumulator sets it.
      part.starts = step.starts && (i == 0 || step.outer_stride[0] != 0) &&
                    (j == 0 || step.inner_stride[0] != 0);
      copy({address(buffer), 0, step.element_bytes[1]},
           {at(step, data, 1, i, j), 0, step.inner_stride[1]}, 1, part.inner,
           step.element_bytes[1]);
      std::uintptr_t places[kStepSlots] = {at(step, data, 0, i, j), address(buffer),
                                           at(step, data, 2, i, j), at(step, data, 3, i, j)};
      if (copies_second) {
        copy({address(second), 0, step.element_bytes[2]}, {places[2], 0, step.inner_stride[2]}, 1,
             part.inner, step.element_bytes[2]);
        places[2] = address(second);
      }
      step.contiguous(part, places);
    }
  }
}

}  // namespace

void install_expand(KernelTable& table) {
  table.expand = expand;
  table.expand_reduction = expand_reduction;
}

}  // namespace dvm::cpu
