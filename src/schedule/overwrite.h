// Overwriting: whether a Program may be given one piece of memory as two of its arguments, one that it reads and one
// that it writes. It may where each element is read only before its place is written: a proof about the Program itself,
// whatever it was made from.
#pragma once

#include "isa/program.h"

namespace dvm {

/// Whether argument `written` of the Program may lie exactly where argument `read` does. The caller sees to it that
/// what is written names every element once, and that nothing else reads or writes that memory meanwhile.
bool may_overwrite(const Program& program, int read, int written);

}  // namespace dvm
