#include <torch/torch.h>
#include <ups/optim/optimizer.h>
#include <ups/optim/presets.h>
#include <iostream>

int main() {
  torch::nn::Sequential net(torch::nn::Linear(64, 128), torch::nn::GELU(), torch::nn::Linear(128, 64));
  ups::optim::ParamList params;
  for (auto& p : net->named_parameters()) params.push_back({p.key(), p.value()});
  auto optimizer = ups::optim::make_optimizer(ups::optim::presets::vae_conservative(), params);
  std::cout << optimizer->summary() << "\n";
  const auto x = torch::randn({256, 64}), y = x.roll(1, 1);
  for (int step = 0; step < 100; ++step) {
    optimizer->zero_grad();
    auto loss = torch::mse_loss(net->forward(x), y);
    loss.backward();
    optimizer->step();
    if (step % 20 == 0) std::cout << step << ": " << loss.item<float>() << "\n";
  }
}
