"""What a trained model looks at: one forward per image, agreement with people, faithfulness, features."""
