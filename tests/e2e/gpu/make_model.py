"""make_model.py FILE: a TorchScript module. Of a row [n, x, y] it answers a line through x and y, the n-th of four numbers, and
whether it was on a GPU. An n that is not there is an error that no process survives on a GPU; for a negative one it takes as many bytes."""

import sys

import torch


class Model(torch.nn.Module):
    def __init__(self):
        super().__init__()
        torch.manual_seed(1)
        self.line = torch.nn.Linear(2, 1)
        self.register_buffer("table", torch.tensor([1.0, 2.0, 4.0, 8.0]))

    def forward(self, rows):
        if rows.size(0) == 1 and float(rows[0, 0]) < 0:
            taken = torch.zeros([int(-rows[0, 0])], dtype=torch.uint8, device=rows.device)
            rows = torch.zeros_like(rows) + taken[0]  # what nobody uses is not made
        on_gpu = torch.full((rows.size(0), 1), float(rows.is_cuda), device=rows.device)
        return torch.cat([self.line(rows[:, 1:]), self.table[rows[:, 0].long()].unsqueeze(1), on_gpu], 1)


torch.jit.script(Model()).save(sys.argv[1])
