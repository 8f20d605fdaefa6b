"""What a trained model looks at: explanations and attacks on them, alignment, faithfulness, regions."""
