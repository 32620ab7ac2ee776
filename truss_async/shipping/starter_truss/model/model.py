"""Greets people. Replace it with a model of your own."""

from truss_async import AsyncOutputModel


class Model(AsyncOutputModel):
    """Every output is saved under its request id before the request is answered."""

    def load(self):
        """Called once, before the first request: read the weights here."""
        self.greeting = "Hello"

    def predict(self, model_input):
        return {"text": f"{self.greeting}, {model_input['name']}!"}
