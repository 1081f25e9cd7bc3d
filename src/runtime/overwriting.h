// Overwriting: which results of a Kernel may be written where an operand lies that nothing needs afterwards, for one
// tuple of shapes. Places and strides are looked at here; that the Program reads each element before it writes it is
// schedule/overwrite.h's to prove.
#pragma once

#include <span>
#include <vector>

#include "fuse/kernel.h"
#include "runtime/placement.h"
#include "schedule/schedule.h"

namespace dvm {

/// For each output of a Kernel the input that it may be written over, or -1.
using Overwrites = std::vector<int>;

/// Whether input `input` is read at each position of the loops where output `output` is written, whatever the sizes.
bool reads_where_it_writes(const Kernel& kernel, int input, int output);

/// Such inputs as step `step` is the last to need, of the very strides that the output has in memory of its own.
/// Input `but` is nowhere in memory, and what lies in the blocks of `read` is read while the Kernel runs.
Overwrites may_overwrite(const Flow& flow, const Placement& placement, const Kernel& kernel,
                         const KernelShape& shape, int step, int but = -1,
                         std::span<const Place> read = {});

/// Leaves the pairs for which `program`, whose arguments are the inputs and outputs of `kernel`, is proved to do.
void keep_proved(Overwrites& overwrites, const Kernel& kernel, const Program& program);

/// As KernelShape has it.
std::vector<char> overwrites_of(const Overwrites& overwrites);

}  // namespace dvm
