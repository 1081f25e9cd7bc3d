#include "runtime/overwriting.h"

#include <algorithm>
#include <cstddef>

#include "schedule/overwrite.h"

namespace dvm {
namespace {

bool same_block(const Place& a, const Place& b) { return a.kind == b.kind && a.index == b.index; }

// Whether every position of the loops has an element of its own.
bool tells_positions_apart(const KernelShape& shape, const std::vector<std::int64_t>& strides) {
  for (std::size_t k = 0; k < strides.size(); ++k) {
    if (shape.extents[k] > 1 && strides[k] == 0) return false;
  }
  return true;
}

}  // namespace

bool reads_where_it_writes(const Kernel& kernel, int input, int output) {
  const KernelInput& read = kernel.inputs[input];
  const KernelOutput& written = kernel.outputs[output];
  return read.picked < 0 && bytes(read.type) == bytes(written.type) &&
         read.dim_of_axis == written.dim_of_axis &&
         std::ranges::none_of(read.dim_of_axis, [](int dim) { return dim < 0; });
}

Overwrites may_overwrite(const Flow& flow, const Placement& placement, const Kernel& kernel,
                         const KernelShape& shape, int step, int but, std::span<const Place> read) {
  const int count = static_cast<int>(kernel.inputs.size());
  const auto place_of = [&](int input) -> const Place& {
    return placement.at(flow.tensor_of(kernel.inputs[input].value)).place;
  };
  const auto read_again = [&](int input) {
    const Place& place = place_of(input);
    for (int other = 0; other < count; ++other) {
      if (other != input && other != but && same_block(place, place_of(other))) return true;
    }
    return std::ranges::any_of(read, [&](const Place& one) { return same_block(place, one); });
  };
  Overwrites found(kernel.outputs.size(), -1);
  for (std::size_t o = 0; o < kernel.outputs.size(); ++o) {
    const KernelOutput& output = kernel.outputs[o];
    const int made = flow.tensor_of(output.value);
    const std::vector<std::int64_t>& strides = shape.output_strides[o];
    // In the arena, and no part of a concat: there it has a block of its own.
    if (placement.at(made).place.kind != Place::kArena || flow.tensors[made].whole >= 0) continue;
    if (!tells_positions_apart(shape, strides)) continue;
    for (int i = 0; i < count; ++i) {
      const KernelInput& input = kernel.inputs[i];
      const Place& place = place_of(i);
      if (place.kind == Place::kInput && placement.given_to(made) != place.index) continue;
      const bool fits = i != but && input.picked < 0 && bytes(input.type) == bytes(output.type) &&
                        shape.input_strides[i] == strides && placement.ends(place, step);
      if (!fits || std::ranges::find(found, i) != found.end() || read_again(i)) continue;
      found[o] = i;
      break;
    }
  }
  return found;
}

void keep_proved(Overwrites& overwrites, const Kernel& kernel, const Program& program) {
  for (std::size_t o = 0; o < overwrites.size(); ++o) {
    const int written = static_cast<int>(kernel.inputs.size() + o);
    if (overwrites[o] >= 0 && !may_overwrite(program, overwrites[o], written)) overwrites[o] = -1;
  }
}

std::vector<char> overwrites_of(const Overwrites& overwrites) {
  std::vector<char> flags;
  for (const int input : overwrites) flags.push_back(input >= 0 ? 1 : 0);
  return std::ranges::find(flags, 1) == flags.end() ? std::vector<char>{} : flags;
}

}  // namespace dvm
