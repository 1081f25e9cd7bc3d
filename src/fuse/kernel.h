// Kernel: a fused group of Graph operations in the form that schedule/ reads. Views are gone: there is one list
// of loop axes, and every value says which of them it varies over. Shapes enter only with the Schedule.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "graph/graph.h"
#include "isa/program.h"

namespace dvm {

/// The loop axes over which a value varies, one bit each.
using AxisMask = std::uint32_t;

enum class TermKind : std::uint8_t {
  kLoad,         // input number `index`
  kScalar,       // scalar number `index`
  kConstant,     // `bits`
  kSize,         // `dim` as a number
  kIota,         // position along loop axis `index`
  kElementwise,  // `op`, conversions included
  kReduce,       // `op` over all reduced axes
};

/// One value of a Kernel. Terms are in topological order; types are compute types.
struct Term {
  TermKind kind;
  Op op = Op::kCount;
  Type type = Type::f32;
  AxisMask mask = 0;
  int index = -1;  // of kElementwise gather: the input that it picks from
  std::uint64_t bits = 0;
  Dim dim = -1;
  std::int32_t operands[kMaxOperands] = {-1, -1, -1};
  int level = 0;  // reductions on the longest path that leads here
};

/// A tensor that a Kernel reads: Graph value `value`, whose dimension `dim_of_axis[k]` runs along loop axis k (-1:
/// it does not move along k). A gather picks elements along dimension `picked` (-1: there is no such dimension).
struct KernelInput {
  Value value;
  Type type;
  std::vector<int> dim_of_axis;
  int picked = -1;
};

/// A tensor that a Kernel writes: the term `term`, converted to `type`. dim_of_axis as for inputs; dimensions of
/// the Graph value that no axis runs along have size 1.
struct KernelOutput {
  Value value;
  std::int32_t term;
  Type type;
  std::vector<int> dim_of_axis;
};

struct Kernel {
  std::string name;  // the operations in it, for people: "max_sub_exp_sum_div"
  std::vector<Dim> axes;
  AxisMask reduced = 0;
  std::vector<Term> terms;
  std::vector<KernelInput> inputs;
  std::vector<Value> scalars;
  std::vector<KernelOutput> outputs;
};

}  // namespace dvm
