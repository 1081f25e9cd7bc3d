// How a view lies in the tensor that it is a view of: torch made it, and only its address and strides tell.
#pragma once

#include <optional>

#include "eager/trace.h"

namespace dvm::eager {

/// `region` as a view of `value`, which lies in `base`; nothing when it is none that a Graph can say.
std::optional<View> derive(int value, const Region& base, const Region& region);

}  // namespace dvm::eager
