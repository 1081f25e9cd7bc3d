// The matrix products by the types of their operands, derived from isa/products.def.
#pragma once

#include <string>

#include "isa/type.h"

namespace dvm {

struct ProductTypes {
  Type a, b, sum;
};

inline constexpr ProductTypes kProducts[] = {
#define PRODUCT(a, b, sum) {Type::a, Type::b, Type::sum},
#include "isa/products.def"
};
inline constexpr int kProductCount = static_cast<int>(sizeof(kProducts) / sizeof(kProducts[0]));

/// The number of the row for these types, or -1.
constexpr int product_of(Type a, Type b) {
  for (int i = 0; i < kProductCount; ++i) {
    if (kProducts[i].a == a && kProducts[i].b == b) return i;
  }
  return -1;
}

/// All rows, for messages: "f32 with f32, f64 with f64".
inline std::string products_text() {
  std::string text;
  for (const ProductTypes& types : kProducts) {
    text += (text.empty() ? "" : ", ") + std::string(info(types.a).text) + " with " +
            std::string(info(types.b).text);
  }
  return text;
}

}  // namespace dvm
