"""Small things to compare: Lightning modules and data that other processes can import."""

import torch
from compared import data, net
from lightning.pytorch import LightningDataModule, LightningModule
from torch import nn
from torch.utils.data import DataLoader


class Net(LightningModule):
    """A module with whatever schedulers, groups and steps a test asks for."""

    def __init__(self, lr=0.01, scheduler=False, groups=False, dropout=0.1):
        super().__init__()
        self.lr, self.scheduler, self.groups = lr, scheduler, groups
        self.net = net(dropout=dropout)

    def _loss(self, batch):
        return nn.functional.mse_loss(self.net(batch[0]), batch[1])

    def training_step(self, batch, batch_idx):
        return self._loss(batch)

    def validation_step(self, batch, batch_idx):
        self.log("val_loss", self._loss(batch))

    def test_step(self, batch, batch_idx):
        self.log("test_loss", self._loss(batch))

    def configure_optimizers(self):
        parameters = self.parameters()
        if self.groups:
            parts = (self.net[0].parameters(), 0.1 * self.lr), (self.net[3].parameters(), self.lr)
            parameters = [{"params": part, "lr": lr} for part, lr in parts]
        optimizer = torch.optim.SGD(parameters, lr=self.lr, momentum=0.9)
        if not self.scheduler:
            return optimizer
        scheduler = torch.optim.lr_scheduler.ExponentialLR(optimizer, 0.5)
        return {"optimizer": optimizer, "lr_scheduler": {"scheduler": scheduler, "interval": "step"}}


class Unjudged(LightningModule):
    """No validation; loaders of its own; two optimizers, stepped by hand."""

    def __init__(self):
        super().__init__()
        self.automatic_optimization = False
        self.net = net()

    def train_dataloader(self):
        return DataLoader(data(), batch_size=8, shuffle=True)

    def training_step(self, batch, batch_idx):
        first, second = self.optimizers()
        loss = nn.functional.mse_loss(self.net(batch[0]), batch[1])
        first.zero_grad()
        second.zero_grad()
        self.manual_backward(loss)
        first.step()
        second.step()
        return loss

    def configure_optimizers(self):
        return [torch.optim.SGD(self.net[0].parameters(), lr=0.1), torch.optim.SGD(self.net[3].parameters(), lr=0.05)]


class Points(LightningDataModule):
    def train_dataloader(self):
        return DataLoader(data(), batch_size=8, shuffle=True)

    def val_dataloader(self):
        return DataLoader(data(1, 40), batch_size=16)

    def test_dataloader(self):
        return DataLoader(data(2, 40), batch_size=16)
