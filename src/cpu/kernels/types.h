// The C++ type of each element type, from isa/types.def.
#pragma once

#include <algorithm>
#include <cstdint>

#include "isa/type.h"
#include "semantics/half.h"

namespace dvm::cpu {

template <Type type>
struct CTypeOf;
#define TYPE(name, text, ctype, bytes, compute, kind, numpy) \
  template <>                                                \
  struct CTypeOf<Type::name> {                               \
    using type = ctype;                                      \
    static_assert(sizeof(ctype) == bytes);                   \
  };
#include "isa/types.def"

template <Type type>
using CType = typename CTypeOf<type>::type;

}  // namespace dvm::cpu
