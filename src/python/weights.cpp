#include "python/weights.h"

#include <algorithm>
#include <cstddef>
#include <optional>
#include <utility>

namespace dvm::python {
namespace {

// torch counts what changes a tensor. Of NumPy's arrays those will do that nobody may write.
std::optional<std::int64_t> version_of(const Borrowed& tensor) {
  static PyObject* const name = PyUnicode_InternFromString("_version");
  if (tensor.readonly()) return 0;
  PyObject* const version = PyObject_GetAttr(tensor.object(), name);
  if (version == nullptr) {
    PyErr_Clear();  // a tensor of torch's inference mode raises
    return {};
  }
  const std::int64_t count = PyLong_AsLongLong(version);
  Py_DECREF(version);
  if (count == -1 && PyErr_Occurred() != nullptr) {
    PyErr_Clear();
    return {};
  }
  return count;
}

}  // namespace

Weights& Weights::process() {
  static Weights* const weights = new Weights;  // tensors may outlive static objects
  return *weights;
}

Weights::Part* Weights::find(Parts& parts, const PackedInput& input) {
  const auto at = std::ranges::find_if(parts, [&](const Part& part) {
    return part.offset == input.offset && part.weight->form() == input.form;
  });
  return at == parts.end() ? nullptr : &*at;
}

// For all that the plan packs and that is not there.
bool Weights::has_room(const LaunchPlan& plan, std::span<const Borrowed* const> inputs) {
  std::size_t wanted = 0;
  for (const PackedInput& input : plan.packed) {
    const auto at = parts_.find(inputs[input.input]->object());
    if (at == parts_.end() || find(at->second, input) == nullptr)
      wanted += packed_bytes(input.form);
  }
  return PackedWeights::process().has_room(wanted);
}

// What is kept for a tensor, until its end; null for one that can't tell when that is.
Weights::Parts* Weights::parts_of(PyObject* tensor) {
  if (const auto at = parts_.find(tensor); at != parts_.end()) return &at->second;
  const nb::object forget = nb::cpp_function([this, tensor](nb::handle reference) {
    parts_.erase(tensor);
    reference.dec_ref();
  });
  // The reference lives until it has called.
  if (PyWeakref_NewRef(tensor, forget.ptr()) == nullptr) {
    PyErr_Clear();
    return nullptr;
  }
  return &parts_[tensor];
}

bool Weights::get(const LaunchPlan& plan, std::span<const Borrowed* const> inputs,
                  std::span<std::shared_ptr<const PackedWeight>> held) {
  bool room = false;
  for (std::size_t i = 0; i < plan.packed.size(); ++i) {
    const PackedInput& input = plan.packed[i];
    const Borrowed& tensor = *inputs[input.input];
    const std::optional<std::int64_t> version = version_of(tensor);
    Parts* const parts = version ? parts_of(tensor.object()) : nullptr;
    if (parts == nullptr) return refuse();
    const void* const data = static_cast<const std::byte*>(tensor.view().data) + input.offset;
    const WeightState state{data, *version, fingerprint(input.form, data)};
    Part* part = find(*parts, input);
    if (part == nullptr || part->weight->state() != state) {
      if (!room && !(room = has_room(plan, inputs))) return refuse();
      auto weight = PackedWeights::process().get(input.form, state);
      if (part == nullptr) part = &parts->emplace_back(input.offset, nullptr);
      part->weight = std::move(weight);
    }
    held[i] = part->weight;
  }
  return true;
}

}  // namespace dvm::python
