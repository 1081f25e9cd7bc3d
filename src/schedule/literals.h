// Numbers as the bits a constant slot holds, and what depends on a type alone.
#pragma once

#include <cstdint>

#include "isa/op.h"

namespace dvm {

/// A whole number as a value of a compute type.
std::uint64_t number_bits(std::int64_t value, Type type);

/// What the reduction `op` over no elements gives, as a value of a compute type.
std::uint64_t identity_bits(Op op, Type type);

/// The conversion that has `type` as its result.
Op conversion_to(Type type);

}  // namespace dvm
