// Program, the tables of instructions and types, and the machine's settings for Python.
#include <nanobind/nanobind.h>
#include <nanobind/operators.h>
#include <nanobind/stl/optional.h>
#include <nanobind/stl/string.h>
#include <nanobind/stl/vector.h>

#include <bit>
#include <cstdio>
#include <cstring>
#include <memory>

#include "cpu/dispatch.h"
#include "cpu/interpreter.h"
#include "cpu/parallel.h"
#include "isa/assemble.h"
#include "isa/decode.h"
#include "isa/disassemble.h"
#include "isa/encode.h"
#include "isa/product.h"
#include "isa/verify.h"
#include "python/convert.h"
#include "python/module.h"

namespace nb = nanobind;
using namespace nb::literals;

namespace dvm::python {
namespace {

/// A buffer of Python's for as long as a run takes.
class Buffer {
 public:
  Buffer(nb::handle object, bool writable) {
    if (PyObject_GetBuffer(object.ptr(), &view_, writable ? PyBUF_CONTIG : PyBUF_CONTIG_RO) != 0) {
      throw nb::python_error();
    }
  }
  Buffer(const Buffer&) = delete;
  Buffer& operator=(const Buffer&) = delete;
  ~Buffer() { PyBuffer_Release(&view_); }
  void* data() const { return view_.buf; }
  std::int64_t bytes() const { return view_.len; }

 private:
  Py_buffer view_{};
};

std::vector<Word> words_of(const nb::bytes& bytes) {
  if (bytes.size() % sizeof(Word) != 0) {
    throw std::invalid_argument("[verify] " + std::to_string(bytes.size()) +
                                " bytes, wanted words of 8 bytes");
  }
  std::vector<Word> words(bytes.size() / sizeof(Word));
  std::memcpy(words.data(), bytes.data(), bytes.size());
  return words;
}

Program from_words(const nb::bytes& bytes) {
  const std::vector<Word> words = words_of(bytes);
  verify(words);
  return decode(words);
}

Program from_text(const std::string& text) {
  Program program = assemble(text);
  verify(encode(program));
  return program;
}

bool is_written(const Program& program, std::size_t argument) {
  for (const Section& section : program.sections) {
    for (const Instruction& instruction : section.code) {
      const auto writes = [&](std::uint16_t number) {
        const Slot& slot = program.slots[number];
        return slot.kind == SlotKind::kArgument && slot.index == argument;
      };
      if (writes(instruction.dst)) return true;
      if (info(instruction.op).accumulators == 2 && writes(instruction.operands[1])) return true;
    }
  }
  return false;
}

std::uint64_t scalar_bits(nb::handle value, Type type) {
  switch (type) {
    case Type::f32:
      return std::bit_cast<std::uint32_t>(static_cast<float>(nb::cast<double>(value)));
    case Type::f64:
      return std::bit_cast<std::uint64_t>(nb::cast<double>(value));
    case Type::i32:
      return static_cast<std::uint32_t>(nb::cast<std::int32_t>(value));
    case Type::bool_:
      return nb::cast<bool>(value) ? 1 : 0;
    default:
      return static_cast<std::uint64_t>(nb::cast<std::int64_t>(value));
  }
}

Type scalar_type(const Program& program, std::size_t index) {
  for (const Slot& slot : program.slots) {
    if (slot.kind == SlotKind::kScalar && slot.index == index) return slot.type;
  }
  return Type::i64;
}

void run(const Program& program, nb::sequence arguments, nb::sequence scalars) {
  if (nb::len(arguments) != program.arguments || nb::len(scalars) != program.scalars) {
    throw std::invalid_argument("[run] got " + std::to_string(nb::len(arguments)) +
                                " arguments and " + std::to_string(nb::len(scalars)) +
                                " scalars, wanted " + std::to_string(program.arguments) + " and " +
                                std::to_string(program.scalars));
  }
  const std::vector<Word> words = encode(program);
  verify(words);
  std::vector<std::unique_ptr<Buffer>> buffers;
  std::vector<void*> addresses;
  for (unsigned i = 0; i < program.arguments; ++i) {
    buffers.push_back(std::make_unique<Buffer>(arguments[i], is_written(program, i)));
    const Reach wanted = reach(words, i);
    if (wanted.first < 0 || wanted.end > buffers.back()->bytes()) {
      throw std::invalid_argument("[run] argument " + std::to_string(i) + " has " +
                                  std::to_string(buffers.back()->bytes()) +
                                  " bytes, the program uses bytes " + std::to_string(wanted.first) +
                                  " to " + std::to_string(wanted.end));
    }
    addresses.push_back(buffers.back()->data());
  }
  std::vector<std::uint64_t> bits;
  for (std::size_t i = 0; i < program.scalars; ++i) {
    bits.push_back(scalar_bits(scalars[i], scalar_type(program, i)));
  }
  const nb::gil_scoped_release release;
  cpu::run(words, {addresses.data(), bits.data()});
}

nb::bytes words_bytes(const Program& program) {
  const std::vector<Word> words = encode(program);
  return nb::bytes(reinterpret_cast<const char*>(words.data()), words.size() * sizeof(Word));
}

nb::dict stats(const Program& program) {
  std::size_t instructions = 0;
  nb::list ops;
  for (const Section& section : program.sections) {
    instructions += section.code.size();
    for (const Instruction& instruction : section.code) {
      ops.append(opcode_name(instruction.op, instruction.type));
    }
  }
  nb::dict result;
  result["sections"] = program.sections.size();
  result["slots"] = program.slots.size();
  result["instructions"] = instructions;
  result["ops"] = ops;
  result["scratch_bytes"] = program.scratch_bytes;
  result["arguments"] = program.arguments;
  result["scalars"] = program.scalars;
  result["parts"] = program.parts;
  return result;
}

nb::list type_names(TypeSet set) {
  nb::list names;
  for (std::size_t i = 0; i < kTypeCount; ++i) {
    if (contains(set, static_cast<Type>(i))) names.append(text(kTypes[i].text));
  }
  return names;
}

nb::list property_names(std::uint32_t properties) {
  constexpr std::pair<Property, std::string_view> kNames[] = {
      {kCommutative, "commutative"}, {kMonotone, "monotone"},   {kWraps, "wraps"},
      {kCostly, "costly"},           {kCondition, "condition"},
  };
  nb::list names;
  for (const auto& [property, name] : kNames) {
    if ((properties & property) != 0) names.append(text(name));
  }
  return names;
}

// "same", "bool" or the type of a conversion's result.
std::string_view result_name(const OpInfo& row, Op op) {
  return row.result == Result::kSame ? "same" : info(result_type(op, Type::f32)).text;
}

nb::list instructions() {
  constexpr std::string_view kFamilies[] = {"elementwise", "reduce", "memory"};
  nb::list rows;
  for (std::size_t i = 0; i < kOpCount; ++i) {
    const OpInfo& row = kOps[i];
    nb::dict entry;
    entry["name"] = text(row.name);
    entry["family"] = text(kFamilies[static_cast<std::size_t>(row.family)]);
    entry["arity"] = row.arity;
    entry["accumulators"] = row.accumulators;
    entry["types"] = type_names(row.types);
    entry["result"] = text(result_name(row, static_cast<Op>(i)));
    entry["properties"] = property_names(row.properties);
    entry["reference"] = text(row.reference);
    entry["doc"] = text(row.doc);
    nb::list halves;
    for (const Pair& pair : kPairs) {
      if (pair.both != static_cast<Op>(i)) continue;
      halves.append(text(info(pair.inner).name));
      halves.append(text(info(pair.outer).name));
    }
    entry["pair"] = halves;  // of a superinstruction: what it does first, and then
    rows.append(entry);
  }
  return rows;
}

nb::list element_types() {
  constexpr std::string_view kKinds[] = {"float", "integer", "bool"};
  nb::list rows;
  for (const TypeInfo& row : kTypes) {
    nb::dict entry;
    entry["name"] = text(row.text);
    entry["bytes"] = row.bytes;
    entry["compute"] = text(info(row.compute).text);
    entry["kind"] = text(kKinds[static_cast<std::size_t>(row.kind)]);
    entry["numpy"] = text(row.numpy);
    rows.append(entry);
  }
  return rows;
}

std::string fingerprint_text() {
  char text[17];
  std::snprintf(text, sizeof(text), "%016llx", static_cast<unsigned long long>(fingerprint()));
  return text;
}

void set_threads(std::optional<int> count) {
  if (count && *count < 1) {
    throw std::invalid_argument("[set_threads] got " + std::to_string(*count) +
                                ", wanted at least 1, or None");
  }
  cpu::set_threads(count.value_or(0));
}

}  // namespace

namespace {

nb::list product_types() {
  nb::list rows;
  for (const ProductTypes& types : kProducts)
    rows.append(nb::make_tuple(text(info(types.a).text), text(info(types.b).text),
                               text(info(types.sum).text)));
  return rows;
}

}  // namespace

void bind_program(nb::module_& module) {
  nb::class_<Program>(module, "Program", "The bytecode of one kernel for one tuple of shapes.")
      .def_prop_ro("words", &words_bytes, "The encoded form.")
      .def("disassemble", &disassemble, "The text form, which assemble() reads back.")
      .def_static("from_words", &from_words, "words"_a, "Verifies and decodes.")
      .def("run", &run, "args"_a, "scalars"_a = nb::tuple(),
           nb::sig(
               "def run(self, args: Sequence[typing.Any], scalars: Sequence[int | float | bool] = "
               "()) -> None"),
           "Runs on contiguous buffers, in the order of the arguments.")
      .def_prop_ro("stats", &stats, nb::sig("def stats(self) -> dict[str, Any]"))
      .def(
          "__eq__",
          [](const Program& self, nb::handle other) {
            return nb::isinstance<Program>(other) && self == nb::cast<const Program&>(other);
          },
          nb::sig("def __eq__(self, other: object, /) -> bool"))
      .def("__hash__", [](const Program& self) { return nb::hash(words_bytes(self)); })
      .def("__str__", &disassemble);
  module.def("assemble", &from_text, "text"_a, "Reads the text form of a program and verifies it.");
  module.def(
      "verify", [](const nb::bytes& words) { verify(words_of(words)); }, "words"_a,
      "Raises ValueError unless the words are a program that can do no harm.");
  module.def("instructions", &instructions, nb::sig("def instructions() -> list[dict[str, Any]]"),
             "The instruction tables, a row each.");
  module.def("element_types", &element_types,
             nb::sig("def element_types() -> list[dict[str, Any]]"), "The table of element types.");
  module.def(
      "products", &product_types, nb::sig("def products() -> list[tuple[str, str, str]]"),
      "The types of matrix products: of the left operand, of the right one, and of the result.");
  module.def("fingerprint", &fingerprint_text,
             "A hash of the tables: programs made under others are refused.");
  module.def(
      "isa", [] { return std::string(cpu::isa().name); }, "The build of the kernels that runs.");
  module.def(
      "isas",
      [] {
        nb::list names;
        for (const std::string_view name : cpu::available_isas()) names.append(text(name));
        return names;
      },
      nb::sig("def isas() -> list[str]"), "The builds that this CPU can run, best first.");
  module.def("threads", &cpu::threads, "How many threads a run from this thread may use.");
  module.def("set_threads", &set_threads, "count"_a.none(),
             "Limits the threads of every run; None lifts the limit.");
  module.def(
      "parallel_library", [] { return std::string(cpu::parallel_library()); },
      "The OpenMP library whose threads are used, empty for none.");
  module.def("parallel_reset", &cpu::parallel_reset, "Looks the OpenMP library up again.");
}

}  // namespace dvm::python
