// The loops of matrix products for every row of isa/products.def.
#include "cpu/kernels/install.h"
#include "cpu/kernels/outer.h"
#include "cpu/kernels/packed.h"
#include "cpu/kernels/panel.h"
#include "cpu/kernels/scaled.h"
#include "isa/product.h"

namespace dvm::cpu {
namespace {

using matmul::Converted;

template <class A, class B, class Sum>
constexpr MatrixKernels kBoth = {.dot = matmul::dot<Converted<A, B, Sum>>,
                                 .outer = matmul::outer<Converted<A, B, Sum>>,
                                 .panel = matmul::panel<B, Sum>,
                                 .outer_of_panel = matmul::outer<Converted<A, Sum, Sum>>,
                                 .pack = matmul::panel<B, B>,
                                 .packed = matmul::packed<Converted<A, B, Sum>>};
template <class A, class B, class Sum>
constexpr MatrixKernels kWidening = {
    .dot = matmul::dot<Converted<A, B, Sum>>,
    .outer = matmul::outer_widening<Converted<A, B, Sum>>,
    .panel = matmul::panel<B, Sum>,
    .outer_of_panel = matmul::outer_widening<Converted<A, Sum, Sum>>};
template <class A>
constexpr MatrixKernels kBytes = {.dot = matmul::dot<matmul::BytePairs<A>>};
template <class Ints>
constexpr MatrixKernels kScaled = {.dot = matmul::scaled_dot<Ints>,
                                   .panel = matmul::scaled_panel<Ints>,
                                   .outer_of_panel = matmul::outer<Converted<float, float, float>>};

}  // namespace

void install_matrix(KernelTable& table) {
  using semantics::bfloat16;
  using semantics::float16;
  const auto of = [&](Type a, Type b) -> MatrixKernels& { return table.matrix[product_of(a, b)]; };
  of(Type::f32, Type::f32) = kBoth<float, float, float>;
  of(Type::f64, Type::f64) = kBoth<double, double, double>;
  of(Type::bf16, Type::bf16) = kWidening<bfloat16, bfloat16, float>;
  of(Type::f16, Type::f16) = kWidening<float16, float16, float>;
  of(Type::f32, Type::bf16) = kBoth<float, bfloat16, float>;
  of(Type::f32, Type::f16) = kBoth<float, float16, float>;
  of(Type::bf16, Type::f32) = kWidening<bfloat16, float, float>;
  of(Type::f16, Type::f32) = kWidening<float16, float, float>;
  of(Type::f32, Type::i8) = kBoth<float, std::int8_t, float>;
  table.scaled_bytes = kScaled<matmul::Bytes>;
  table.scaled_halves = kScaled<matmul::Halves>;
  // Integers are multiplied along k alone: other operands are copied.
  of(Type::i8, Type::i8) = kBytes<std::int8_t>;
  of(Type::u8, Type::i8) = kBytes<std::uint8_t>;
}

}  // namespace dvm::cpu
