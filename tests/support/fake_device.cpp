#include "fake_device.h"

#include <ATen/ATen.h>
#include <ATen/CPUGeneratorImpl.h>
#include <ATen/EmptyTensor.h>
#include <ATen/core/LegacyTypeDispatch.h>
#include <ATen/detail/PrivateUse1HooksInterface.h>
#include <ATen/native/CPUFallback.h>
#include <ATen/ops/_reshape_alias_native.h>
#include <ATen/ops/as_strided_native.h>
#include <ATen/ops/view_native.h>
#include <c10/core/CPUAllocator.h>
#include <c10/core/impl/DeviceGuardImplInterface.h>
#include <torch/library.h>

#include <cstdlib>
#include <cstring>
#include <set>

namespace ups::test {
namespace {

using at::Tensor;

DeviceCounts g_counts;
std::string g_trace;
int g_inside = 0;  // copies that the fallback itself makes are not the caller's
Operators* g_tape = nullptr;          // record_operators() is at work
std::set<const void*> g_fresh;        // memory that came into being since

struct Inside {
  Inside() { ++g_inside; }
  ~Inside() { --g_inside; }
};

const at::Device kFake(at::kPrivateUse1, 0);

struct Guard final : c10::impl::DeviceGuardImplInterface {
  c10::DeviceType type() const override { return at::kPrivateUse1; }
  c10::Device exchangeDevice(c10::Device) const override { return kFake; }
  c10::Device getDevice() const override { return kFake; }
  void setDevice(c10::Device) const override {}
  void uncheckedSetDevice(c10::Device) const noexcept override {}
  c10::Stream getStream(c10::Device d) const override { return c10::Stream(c10::Stream::DEFAULT, d); }
  c10::Stream getDefaultStream(c10::Device d) const override { return c10::Stream(c10::Stream::DEFAULT, d); }
  c10::Stream exchangeStream(c10::Stream s) const override { return s; }
  c10::DeviceIndex deviceCount() const noexcept override { return 1; }
};
C10_REGISTER_GUARD_IMPL(PrivateUse1, Guard);

struct Allocator final : c10::Allocator {
  c10::DataPtr allocate(size_t n) override {
    void* p = n > 0 ? std::aligned_alloc(64, (n + 63) / 64 * 64) : nullptr;
    if (g_tape != nullptr) g_fresh.insert(p);
    return {p, p, &std::free, kFake};
  }
  c10::DeleterFnPtr raw_deleter() const override { return &std::free; }
  void copy_data(void* to, const void* from, std::size_t n) const override { std::memcpy(to, from, n); }
};
Allocator g_allocator;
REGISTER_ALLOCATOR(at::kPrivateUse1, &g_allocator);

struct Hooks final : at::PrivateUse1HooksInterface {
  bool hasPrimaryContext(c10::DeviceIndex) const override { return true; }
  bool isBuilt() const override { return true; }
  bool isAvailable() const override { return true; }
  void init() const override {}
  const at::Generator& getDefaultGenerator(c10::DeviceIndex) const override { return at::detail::getDefaultCPUGenerator(); }
};

// The same memory as a CPU tensor.
Tensor on_host(const Tensor& t) {
  c10::Storage storage(c10::Storage::use_byte_size_t(), t.storage().nbytes(), c10::DataPtr(t.storage().mutable_data(), c10::kCPU), nullptr, false);
  Tensor r = at::detail::make_tensor<c10::TensorImpl>(std::move(storage), c10::DispatchKeySet(c10::DispatchKey::CPU), t.dtype());
  r.unsafeGetTensorImpl()->set_sizes_and_strides(t.sizes(), t.strides());
  r.unsafeGetTensorImpl()->set_storage_offset(t.storage_offset());
  return r;
}

void refuse_while_recording(bool forbidden, const std::string& what) {
  TORCH_CHECK(!forbidden || g_tape == nullptr || g_inside > 0, "operation not permitted while a graph is recorded: ", what);
}

// A graph is recorded without being run: what existed before keeps its contents.
class Unchanged {
 public:
  void keep(const Tensor& t) {
    if (t.defined() && !t.is_cpu() && g_fresh.count(t.storage().data()) == 0) kept_.emplace_back(on_host(t), on_host(t).clone());
  }
  ~Unchanged() {
    for (auto& [live, before] : kept_) live.copy_(before);
  }

 private:
  std::vector<std::pair<Tensor, Tensor>> kept_;
};

Tensor empty(at::IntArrayRef sizes, std::optional<at::ScalarType> dtype, std::optional<at::Layout>, std::optional<at::Device>, std::optional<bool>,
             std::optional<at::MemoryFormat> format) {
  return at::detail::empty_generic(sizes, &g_allocator, c10::DispatchKeySet(c10::DispatchKey::PrivateUse1), c10::dtype_or_default(dtype), format);
}

Tensor empty_strided(at::IntArrayRef sizes, at::IntArrayRef strides, std::optional<at::ScalarType> dtype, std::optional<at::Layout>,
                     std::optional<at::Device>, std::optional<bool>) {
  return at::detail::empty_strided_generic(sizes, strides, &g_allocator, c10::DispatchKeySet(c10::DispatchKey::PrivateUse1),
                                           c10::dtype_or_default(dtype));
}

Tensor copy_from(const Tensor& from, const Tensor& to, bool) {
  if (g_inside == 0 && from.is_cpu()) {
    g_counts.to_device += 1;
    g_trace += "copy to the device, " + std::to_string(from.numel()) + " numbers\n";
  }
  if (g_inside == 0 && to.is_cpu()) {
    g_counts.to_host += 1;
    g_trace += "copy to the host, " + std::to_string(from.numel()) + " numbers\n";
  }
  refuse_while_recording(from.is_cpu() || to.is_cpu(), "a copy between host and device");
  Unchanged unchanged;
  const auto copy = [from, to] {
    const c10::NoGradGuard no_grad;
    (to.is_cpu() ? to : on_host(to)).copy_(from.is_cpu() ? from : on_host(from));
  };
  if (g_tape != nullptr && g_inside == 0) {
    g_tape->push_back(copy);
    unchanged.keep(to);
  }
  copy();
  return to;
}

at::Scalar local_scalar_dense(const Tensor& t) {
  refuse_while_recording(true, "a number read by the host");
  if (g_inside == 0) {
    g_counts.syncs += 1;
    g_trace += "a number read by the host\n";
  }
  return on_host(t).item();
}

const Tensor& resize(const Tensor& t, at::IntArrayRef sizes, std::optional<at::MemoryFormat>) {
  const size_t need = static_cast<size_t>(c10::multiply_integers(sizes) + t.storage_offset()) * t.itemsize();
  if (t.storage().nbytes() < need) {
    auto memory = g_allocator.allocate(need);
    if (t.storage().nbytes() > 0) std::memcpy(memory.get(), t.storage().data(), t.storage().nbytes());
    t.storage().set_data_ptr_noswap(std::move(memory));
    t.storage().set_nbytes(need);
  }
  t.unsafeGetTensorImpl()->set_sizes_contiguous(sizes);
  return t;
}

void write_over(const c10::IValue& to, const c10::IValue& from) {
  if (to.isTensor() && to.toTensor().defined()) on_host(to.toTensor()).copy_(on_host(from.toTensor()));
  if (!to.isTensorList()) return;
  for (size_t i = 0; i < to.toTensorVector().size(); ++i) write_over(to.toTensorVector()[i], from.toTensorVector()[i]);
}

void run_recorded(const c10::OperatorHandle& op, torch::jit::Stack* stack) {
  const auto& schema = op.schema();
  const torch::jit::Stack inputs(stack->end() - static_cast<std::ptrdiff_t>(schema.arguments().size()), stack->end());
  Unchanged unchanged;
  bool in_place = false;
  for (size_t i = 0; i < inputs.size(); ++i) {
    refuse_while_recording(inputs[i].isGenerator(), "a draw in " + schema.name());
    if (schema.arguments()[i].alias_info() == nullptr || !schema.arguments()[i].alias_info()->isWrite()) continue;
    in_place = true;
    if (inputs[i].isTensor()) unchanged.keep(inputs[i].toTensor());
    if (inputs[i].isTensorList())
      for (const Tensor& t : inputs[i].toTensorVector()) unchanged.keep(t);
  }
  const auto run = [op](torch::jit::Stack* s) {
    const at::AutoDispatchBelowADInplaceOrView recorded_below_autograd;
    const Inside inside;
    at::native::cpu_fallback(op, s);
  };
  run(stack);
  const torch::jit::Stack outputs(stack->end() - static_cast<std::ptrdiff_t>(schema.returns().size()), stack->end());
  g_tape->push_back([run, inputs, outputs, in_place] {
    torch::jit::Stack again = inputs;
    run(&again);
    if (in_place) return;
    const c10::NoGradGuard no_grad;
    const Inside inside;
    for (size_t i = 0; i < outputs.size(); ++i) write_over(outputs[i], again[i]);
  });
}

void fallback(const c10::OperatorHandle& op, torch::jit::Stack* stack) {
  static const std::set<std::string> kWaits = {"aten::nonzero", "aten::masked_select", "aten::equal", "aten::_unique2", "aten::is_nonzero"};
  const auto& schema = op.schema();
  g_counts.operators += 1;
  const size_t count = schema.arguments().size(), base = stack->size() - count;
  const auto check = [&](const Tensor& t, size_t i) {
    TORCH_CHECK(!(t.defined() && t.is_cpu() && t.dim() > 0), "device mixing: CPU tensor argument ", i, " of ", schema.name());
  };
  for (size_t i = 0; i < count; ++i) {
    const auto& v = (*stack)[base + i];
    if (v.isTensor()) check(v.toTensor(), i);
    else if (v.isTensorList())
      for (const Tensor& t : v.toTensorVector()) check(t, i);
  }
  if (kWaits.count(schema.name()) != 0) {
    g_counts.syncs += 1;
    g_trace += schema.name() + "\n";
    refuse_while_recording(true, schema.name());
  }
  if (g_tape != nullptr && g_inside == 0) return run_recorded(op, stack);
  const Inside inside;
  at::native::cpu_fallback(op, stack);
}

// A foreign backend's convolutions do not reach the fallback: their host versions refuse to be replaced.
Tensor convolution(const Tensor& x, const Tensor& w, const std::optional<Tensor>& bias, at::IntArrayRef stride, at::IntArrayRef padding, at::IntArrayRef dilation,
                   bool transposed, at::IntArrayRef output_padding, int64_t groups) {
  g_counts.operators += 1;
  const Inside inside;
  const std::optional<Tensor> b = bias && bias->defined() ? std::optional(bias->to(at::kCPU)) : std::nullopt;
  return at::convolution(x.to(at::kCPU), w.to(at::kCPU), b, stride, padding, dilation, transposed, output_padding, groups).to(kFake);
}

std::tuple<Tensor, Tensor, Tensor> convolution_backward(const Tensor& grad, const Tensor& x, const Tensor& w, at::IntArrayRef stride, at::IntArrayRef padding,
                                                        at::IntArrayRef dilation, bool transposed, at::IntArrayRef output_padding, int64_t groups,
                                                        std::array<bool, 3> mask) {
  g_counts.operators += 1;
  const Inside inside;
  const int64_t bias = w.size(transposed ? 1 : 0);
  auto [gx, gw, gb] = at::convolution_backward(grad.to(at::kCPU), x.to(at::kCPU), w.to(at::kCPU), at::IntArrayRef{bias}, stride, padding, dilation, transposed,
                                               output_padding, groups, mask);
  const auto back = [](const Tensor& t) { return t.defined() ? t.to(kFake) : t; };
  return {back(gx), back(gw), back(gb)};
}

TORCH_LIBRARY_IMPL(_, PrivateUse1, m) { m.fallback(torch::CppFunction::makeFromBoxedFunction<&fallback>()); }
// Autocast changes no types here: there is no list of operators for this device.
TORCH_LIBRARY_IMPL(_, AutocastPrivateUse1, m) { m.fallback(torch::CppFunction::makeFallthrough()); }
TORCH_LIBRARY_IMPL(aten, PrivateUse1, m) {
  m.impl("convolution_overrideable", &convolution);
  m.impl("convolution_backward_overrideable", &convolution_backward);
  m.impl("_has_compatible_shallow_copy_type", [](const Tensor&, const Tensor&) { return true; });
  m.impl("empty.memory_format", &empty);
  m.impl("empty_strided", &empty_strided);
  m.impl("_copy_from", &copy_from);
  m.impl("_copy_from_and_resize", [](const Tensor& from, const Tensor& to) {
    if (to.numel() == 0 && from.numel() > 0) to.resize_(from.sizes());
    return copy_from(from, to, false);
  });
  m.impl("_local_scalar_dense", &local_scalar_dense);
  m.impl("resize_", &resize);
  m.impl("as_strided", [](const Tensor& t, c10::SymIntArrayRef sizes, c10::SymIntArrayRef strides, std::optional<c10::SymInt> offset) {
    return at::native::as_strided_tensorimpl(t, C10_AS_INTARRAYREF_SLOW(sizes), C10_AS_INTARRAYREF_SLOW(strides),
                                             offset ? std::optional<int64_t>(offset->expect_int()) : std::nullopt);
  });
  m.impl("view", [](const Tensor& t, c10::SymIntArrayRef sizes) { return at::native::view(t, C10_AS_INTARRAYREF_SLOW(sizes)); });
  m.impl("_reshape_alias", [](const Tensor& t, c10::SymIntArrayRef sizes, c10::SymIntArrayRef strides) {
    return at::native::_reshape_alias(t, C10_AS_INTARRAYREF_SLOW(sizes), C10_AS_INTARRAYREF_SLOW(strides));
  });
}

}  // namespace

at::Device fake_device() {
  static const bool registered = [] {
    static Hooks hooks;
    c10::register_privateuse1_backend("fakegpu");
    at::RegisterPrivateUse1HooksInterface(&hooks);
    return true;
  }();
  (void)registered;
  return kFake;
}

Operators record_operators(const std::function<void()>& work) {
  Operators tape;
  struct Scope {
    explicit Scope(Operators& t) { g_tape = &t; }
    ~Scope() {
      g_tape = nullptr;
      g_fresh.clear();
    }
  } const scope(tape);
  work();
  return tape;
}

DeviceCounts device_counts() { return g_counts; }

std::string take_device_trace() { return std::exchange(g_trace, {}); }

}  // namespace ups::test
